class Q:
    def __init__(self, *args, **kwargs):
        self.connector = "AND"
        self.negated = False
        self.children = list(args) + list(kwargs.items())

    def _weir_join(self, other, connector):
        joined = Q(self, other)
        joined.connector = connector
        return joined

    def __and__(self, other):
        return self._weir_join(other, "AND")

    def __or__(self, other):
        return self._weir_join(other, "OR")

    def __invert__(self):
        inverted = Q(self)
        inverted.negated = True
        return inverted


_weir_class_q = Q
