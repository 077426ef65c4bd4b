def _weir_only_version(make, version, kind):
    def checked(*args, **kwargs):
        made = make(*args, **kwargs)
        if made.version != version:
            raise ValueError(f"{args[0]!r} does not appear to be an IPv{version} {kind}")
        return made
    return checked


class _weir_m_ipaddress:
    ip_address = ip_address
    ip_network = ip_network
    IPv4Address = _weir_only_version(ip_address, 4, "address")
    IPv6Address = _weir_only_version(ip_address, 6, "address")
    IPv4Network = _weir_only_version(ip_network, 4, "network")
    IPv6Network = _weir_only_version(ip_network, 6, "network")
    AddressValueError = ValueError
    NetmaskValueError = ValueError
