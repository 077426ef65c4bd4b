def _weir_op_exists(o, a, k): return o.exists(*a, **k)
def _weir_op_first(o, a, k): return o.first(*a, **k)
def _weir_op_last(o, a, k): return o.last(*a, **k)
def _weir_op_count(o, a, k): return o.count(*a, **k)
def _weir_op_all(o, a, k): return o.all(*a, **k)
def _weir_op_filter(o, a, k): return o.filter(*a, **k)
def _weir_op_exclude(o, a, k): return o.exclude(*a, **k)
def _weir_op_order_by(o, a, k): return o.order_by(*a, **k)
def _weir_op_values(o, a, k): return o.values(*a, **k)
def _weir_op_values_list(o, a, k): return o.values_list(*a, **k)
def _weir_op_distinct(o, a, k): return o.distinct(*a, **k)
def _weir_op_annotate(o, a, k): return o.annotate(*a, **k)
def _weir_op_select_related(o, a, k): return o.select_related(*a, **k)
def _weir_op_prefetch_related(o, a, k): return o.prefetch_related(*a, **k)
def _weir_op_only(o, a, k): return o.only(*a, **k)
def _weir_op_iterator(o, a, k): return o.iterator(*a, **k)
def _weir_op_none(o, a, k): return o.none(*a, **k)
def _weir_op_all_groups(o, a, k): return o.all_groups(*a, **k)
def _weir_op_all_roles(o, a, k): return o.all_roles(*a, **k)
def _weir_op_app_entitlements(o, a, k): return o.app_entitlements(*a, **k)
_weir_ops = (
    _weir_op_exists, _weir_op_first, _weir_op_last, _weir_op_count, _weir_op_all, _weir_op_filter, _weir_op_exclude,
    _weir_op_order_by, _weir_op_values, _weir_op_values_list, _weir_op_distinct, _weir_op_annotate,
    _weir_op_select_related, _weir_op_prefetch_related, _weir_op_only, _weir_op_iterator, _weir_op_none,
    _weir_op_all_groups, _weir_op_all_roles, _weir_op_app_entitlements,
)


def _weir_set(op, loads, target, *args, **kwargs):
    if isinstance(target, list):
        if not args and not kwargs:
            if op == 0:
                return len(target) > 0
            if op == 1:
                return target[0] if target else None
            if op == 2:
                return target[-1] if target else None
            if op == 3:
                return len(target)
            if op in (4, 15):
                return target
        known = _weir_sets.get(id(target))
        if known is not None:
            target = known[1]
    result = _weir_ops[op](target, args, kwargs)
    return _weir_rows(result) if loads else result
