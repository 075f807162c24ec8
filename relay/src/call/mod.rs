//! The call as the agent hears it.
