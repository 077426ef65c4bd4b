//! Behaviour on a real database.
