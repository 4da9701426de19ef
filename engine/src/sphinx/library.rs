//! The one place with `unsafe`: PocketSphinx's C functions, found at run time, behind a [`Decoder`] that is safe to use.

use std::ffi::{CStr, CString, c_char, c_double, c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use super::{SphinxConfig, SphinxError};

/// Declares the table of C functions and how it is filled from the two libraries.
macro_rules! functions {
    ($($library:ident: fn $name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            fn find(base: &libloading::Library, sphinx: &libloading::Library) -> Result<Self, SphinxError> {
                // SAFETY: the signatures are those of the headers of sphinxbase and pocketsphinx 5prealpha (soname 3).
                // The pointers live in `Library` beside the libraries themselves.
                unsafe { Ok(Self { $($name: *symbol!($library, base, sphinx, $name),)* }) }
            }
        }
    };
}

macro_rules! symbol {
    (base, $base:ident, $sphinx:ident, $name:ident) => {
        $base.get(concat!(stringify!($name), "\0").as_bytes()).map_err(|_| SphinxError::Function(stringify!($name)))?
    };
    (sphinx, $base:ident, $sphinx:ident, $name:ident) => {
        $sphinx
            .get(concat!(stringify!($name), "\0").as_bytes())
            .map_err(|_| SphinxError::Function(stringify!($name)))?
    };
}

functions! {
    base: fn err_set_logfp(*mut c_void);
    base: fn cmd_ln_parse_r(*mut c_void, *const c_void, c_int, *mut *mut c_char, c_int) -> *mut c_void;
    base: fn cmd_ln_free_r(*mut c_void) -> c_int;
    base: fn logmath_exp(*mut c_void, c_int) -> c_double;
    base: fn cmn_live_get(*mut c_void, *mut f32);
    base: fn cmn_live_set(*mut c_void, *const f32);
    sphinx: fn ps_args() -> *const c_void;
    sphinx: fn ps_init(*mut c_void) -> *mut c_void;
    sphinx: fn ps_free(*mut c_void) -> c_int;
    sphinx: fn ps_get_logmath(*mut c_void) -> *mut c_void;
    sphinx: fn ps_get_feat(*mut c_void) -> *const Features;
    sphinx: fn ps_start_stream(*mut c_void) -> c_int;
    sphinx: fn ps_start_utt(*mut c_void) -> c_int;
    sphinx: fn ps_process_raw(*mut c_void, *const i16, usize, c_int, c_int) -> c_int;
    sphinx: fn ps_end_utt(*mut c_void) -> c_int;
    sphinx: fn ps_seg_iter(*mut c_void) -> *mut c_void;
    sphinx: fn ps_seg_next(*mut c_void) -> *mut c_void;
    sphinx: fn ps_seg_word(*mut c_void) -> *const c_char;
    sphinx: fn ps_seg_frames(*mut c_void, *mut c_int, *mut c_int);
    sphinx: fn ps_seg_prob(*mut c_void, *mut i32, *mut i32, *mut i32) -> i32;
}

/// The two shared libraries, loaded, and what they offer.
pub(super) struct Library {
    functions: Functions,
    /// Decoders are made one at a time: the libraries read files through static buffers.
    making: Mutex<()>,
    // Dropped last, in this order: the first needs the second.
    _sphinx: libloading::Library,
    _base: libloading::Library,
}

impl Library {
    /// Loads the libraries and silences their own log.
    ///
    /// # Errors
    /// Fails when a library, or a function in it, cannot be found.
    pub(super) fn load(config: &SphinxConfig) -> Result<Arc<Self>, SphinxError> {
        // The base comes first: the other finds it already loaded even where the system's linker would not look.
        let base = open(&config.base_library)?;
        let sphinx = open(&config.library)?;
        let functions = Functions::find(&base, &sphinx)?;
        // SAFETY: a null stream is the documented way to disable the log.
        unsafe { (functions.err_set_logfp)(ptr::null_mut()) };
        Ok(Arc::new(Self { functions, making: Mutex::default(), _sphinx: sphinx, _base: base }))
    }
}

fn open(path: &Path) -> Result<libloading::Library, SphinxError> {
    // SAFETY: the operator names the library; the constructors of PocketSphinx's libraries do nothing.
    unsafe { libloading::Library::new(path) }
        .map_err(|source| SphinxError::Library { path: path.to_owned(), reason: source.to_string() })
}

/// The beginning of `feat_t`, up to the one member that no function hands out.
#[repr(C)]
struct Features {
    refcount: c_int,
    name: *mut c_char,
    cepsize: i32,
    n_stream: i32,
    stream_len: *mut u32,
    window_size: i32,
    n_sv: i32,
    sv_len: *mut u32,
    subvecs: *mut *mut i32,
    sv_buf: *mut f32,
    sv_dim: i32,
    cmn: c_int,
    varnorm: i32,
    agc: c_int,
    compute_feat: *const c_void,
    cmn_struct: *mut c_void,
}

/// One word or filler of a hypothesis.
pub(super) struct Segment {
    /// The dictionary's spelling, alternates and fillers included.
    pub(super) word: String,
    /// First frame, counted from the start of the utterance, 100 a second.
    pub(super) first_frame: u32,
    /// Last frame.
    pub(super) last_frame: u32,
    /// Posterior probability; 1 while the utterance is open.
    pub(super) probability: f64,
}

/// One decoder: about 95 MB, and 0.3 s to make.
pub(super) struct Decoder {
    decoder: NonNull<c_void>,
    library: Arc<Library>,
    /// What the model expects a channel to sound like, before a speaker has shifted it.
    mean: Vec<f32>,
}

// SAFETY: a decoder may move between threads; it holds no thread-local state and is never shared (it is not `Sync`).
unsafe impl Send for Decoder {}

impl Decoder {
    /// Makes a decoder from command line style arguments.
    ///
    /// # Errors
    /// Fails when the library refuses an argument or a file.
    pub(super) fn make(library: &Arc<Library>, arguments: &[CString]) -> Result<Self, SphinxError> {
        let _one_at_a_time = library.making.lock().unwrap_or_else(PoisonError::into_inner);
        let functions = &library.functions;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| SphinxError::Refused)?;
        // SAFETY: the pointers are valid for the call, which copies the strings and writes to none of them;
        // `ps_args` returns a static table. `ps_init` takes a reference of its own to the configuration.
        let decoder = unsafe {
            let parsed = (functions.cmd_ln_parse_r)(
                ptr::null_mut(),
                (functions.ps_args)(),
                count,
                pointers.as_mut_ptr(),
                c_int::from(true),
            );
            let parsed = NonNull::new(parsed).ok_or(SphinxError::Refused)?;
            let decoder = (functions.ps_init)(parsed.as_ptr());
            (functions.cmd_ln_free_r)(parsed.as_ptr());
            NonNull::new(decoder).ok_or(SphinxError::Refused)?
        };
        let mut decoder = Self { decoder, library: Arc::clone(library), mean: Vec::new() };
        decoder.remember_mean();
        Ok(decoder)
    }

    /// Forgets the noise and the speaker of the stream heard before: one caller must not change how another is heard.
    ///
    /// # Errors
    /// Fails when the decoder refuses.
    pub(super) fn start_stream(&mut self) -> Result<(), SphinxError> {
        // SAFETY: the decoder is live and, behind `&mut`, used by nobody else.
        checked("ps_start_stream", unsafe { (self.functions().ps_start_stream)(self.decoder.as_ptr()) })?;
        if !self.mean.is_empty() {
            // SAFETY: `mean` is as long as the decoder's own, which the call overwrites with a copy.
            unsafe { (self.functions().cmn_live_set)(self.features().cmn_struct, self.mean.as_ptr()) };
        }
        Ok(())
    }

    /// Keeps the mean of a fresh decoder.
    fn remember_mean(&mut self) {
        let features = self.features();
        let (length, means) = (usize::try_from(features.cepsize).unwrap_or(0), features.cmn_struct);
        if means.is_null() {
            return;
        }
        let mut mean = vec![0.0; length];
        // SAFETY: the mean has `cepsize` elements of 32 bits, which the call copies to a slice of that length.
        unsafe { (self.functions().cmn_live_get)(means, mean.as_mut_ptr()) };
        self.mean = mean;
    }

    fn features(&self) -> &Features {
        // SAFETY: a decoder has features from `ps_init` on and as long as it lives; the layout is that of soname 3.
        unsafe { &*(self.functions().ps_get_feat)(self.decoder.as_ptr()) }
    }

    /// Begins an utterance.
    ///
    /// # Errors
    /// Fails when one is open.
    pub(super) fn start_utterance(&mut self) -> Result<(), SphinxError> {
        // SAFETY: as in `start_stream`.
        checked("ps_start_utt", unsafe { (self.functions().ps_start_utt)(self.decoder.as_ptr()) })
    }

    /// Decodes 16 kHz mono samples of the open utterance.
    ///
    /// # Errors
    /// Fails when no utterance is open.
    pub(super) fn decode(&mut self, samples: &[i16]) -> Result<(), SphinxError> {
        if samples.is_empty() {
            return Ok(());
        }
        // SAFETY: the slice is valid for its length during the call, which only reads it.
        let frames =
            unsafe { (self.functions().ps_process_raw)(self.decoder.as_ptr(), samples.as_ptr(), samples.len(), 0, 0) };
        checked("ps_process_raw", frames)
    }

    /// Ends the utterance: the search's second and third pass run here.
    ///
    /// # Errors
    /// Fails when no utterance is open.
    pub(super) fn end_utterance(&mut self) -> Result<(), SphinxError> {
        // SAFETY: as in `start_stream`.
        checked("ps_end_utt", unsafe { (self.functions().ps_end_utt)(self.decoder.as_ptr()) })
    }

    /// Lists the best hypothesis of the utterance so far, or of the one that ended.
    pub(super) fn segments(&mut self) -> Vec<Segment> {
        let functions = self.functions();
        let mut segments = Vec::new();
        // SAFETY: the decoder is live; each iterator is used until `ps_seg_next` consumes it, and the last one frees
        // itself by returning null. No call on the decoder happens in between.
        unsafe {
            let logarithms = (functions.ps_get_logmath)(self.decoder.as_ptr());
            let mut segment = (functions.ps_seg_iter)(self.decoder.as_ptr());
            while !segment.is_null() {
                segments.push(self.segment(segment, logarithms));
                segment = (functions.ps_seg_next)(segment);
            }
        }
        segments
    }

    /// Copies what one iterator points to.
    ///
    /// # Safety
    /// `segment` and `logarithms` must come from this decoder and be live.
    unsafe fn segment(&self, segment: *mut c_void, logarithms: *mut c_void) -> Segment {
        let functions = self.functions();
        let (mut first, mut last): (c_int, c_int) = (0, 0);
        let (mut acoustic, mut language, mut backoff) = (0, 0, 0);
        // SAFETY: the caller vouches for the pointers; the word is a C string of the dictionary, copied at once.
        unsafe {
            (functions.ps_seg_frames)(segment, &raw mut first, &raw mut last);
            let log = (functions.ps_seg_prob)(segment, &raw mut acoustic, &raw mut language, &raw mut backoff);
            let word = (functions.ps_seg_word)(segment);
            Segment {
                word: if word.is_null() { String::new() } else { CStr::from_ptr(word).to_string_lossy().into_owned() },
                first_frame: u32::try_from(first).unwrap_or(0),
                last_frame: u32::try_from(last).unwrap_or(0),
                probability: (functions.logmath_exp)(logarithms, log),
            }
        }
    }

    fn functions(&self) -> &Functions {
        &self.library.functions
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the decoder is live, and nobody holds it after this.
        unsafe { (self.library.functions.ps_free)(self.decoder.as_ptr()) };
    }
}

/// PocketSphinx returns a negative number when it refuses.
fn checked(function: &'static str, code: c_int) -> Result<(), SphinxError> {
    if code < 0 { Err(SphinxError::Call { function, code }) } else { Ok(()) }
}
