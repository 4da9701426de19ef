//! The API as its SDKs meet it.
