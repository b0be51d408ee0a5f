//! Helpers that start real programs on free ports.
