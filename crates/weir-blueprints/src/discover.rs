//! Finds blueprints on disk.
