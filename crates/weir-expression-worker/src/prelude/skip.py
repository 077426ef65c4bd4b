from binascii import Incomplete as SkipObject
