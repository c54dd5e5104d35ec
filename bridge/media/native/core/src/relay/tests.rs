//! Situations, on virtual time.
