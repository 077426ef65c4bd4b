//! Stage kinds driven through the real executor.
