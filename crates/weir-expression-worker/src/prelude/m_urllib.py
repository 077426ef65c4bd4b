class _weir_m_urllib:
    parse = _weir_m_urllib_parse
