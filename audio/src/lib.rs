//! The sound: formats, containers, resampling, pauses and coded test audio.
