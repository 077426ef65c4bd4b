from csv import Error as _weir_e_DoesNotExist
from decimal import Clamped as _weir_e_MultipleObjectsReturned


class _weir_m_requests_exceptions:
    RequestException = OSError
    HTTPError = OSError
    ConnectionError = OSError
    Timeout = TimeoutError
    ConnectTimeout = TimeoutError
    ReadTimeout = TimeoutError
    JSONDecodeError = ValueError
    InvalidURL = ValueError


_weir_e_RequestException = OSError
_weir_e_Timeout = TimeoutError
