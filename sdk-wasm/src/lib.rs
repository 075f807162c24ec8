//! The browser: page role and engine role.
