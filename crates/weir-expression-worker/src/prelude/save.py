def _weir_save(target, *args, **kwargs):
    if getattr(type(target), "_weir_is_host", False):
        return target.save(target, *args, **kwargs)
    return target.save(*args, **kwargs)
