//! A voice
mod recognizer;
mod sphinx;

#[cfg(test)]
mod trial {
    use crate::recognizer::{Recognizer, Sound};
    use crate::sphinx::{Pool, Sphinx, SphinxConfig};
    use std::time::Instant;

    #[test]
    fn trial() {
        let pool = Pool::open(&SphinxConfig::default(), 1).unwrap();
        for name in ["goforward", "austen-0870", "austen-0880", "austen-0920", "goforward"] {
            let bytes = std::fs::read(format!("/work/shared/audio/{name}.wav")).unwrap();
            let samples: Vec<i16> = bytes[44..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
            let t = Instant::now();
            let mut voice = Sphinx::start(&pool).unwrap();
            let made = t.elapsed();
            let t = Instant::now();
            for chunk in samples.chunks(1600) {
                voice.hear(chunk, Sound::Speech).unwrap();
            }
            let heard = t.elapsed();
            let guess: Vec<_> = voice.guess().into_iter().map(|w| w.text).collect();
            let t = Instant::now();
            let words = voice.conclude().unwrap();
            let ended = t.elapsed();
            println!("{name} {:.2}s made {made:?} heard {heard:?} ended {ended:?}\n  {}\n  {}", samples.len() as f64 / 16000.0, guess.join(" "), words.iter().map(|w| format!("{}[{:.2}-{:.2} {:.3}]", w.text, w.start as f64/16000., w.end as f64/16000., w.confidence)).collect::<Vec<_>>().join(" "));
        }
    }
}
