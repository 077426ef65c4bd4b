import datetime as _weir_datetime


def _weir_now():
    return _weir_datetime.datetime.now(_weir_datetime.timezone.utc)


class _weir_m_timezone:
    now = _weir_now
    utc = _weir_datetime.timezone.utc
    timedelta = _weir_datetime.timedelta
