//! A voice: a real CPU speech engine and a synthetic one, same API.
