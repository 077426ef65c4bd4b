def _weir_get_logger(name=None):
    return ak_logger


class _weir_m_logging:
    getLogger = _weir_get_logger
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50
