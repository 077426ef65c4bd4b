//! The blueprints that come with the program.
