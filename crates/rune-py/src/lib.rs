//! `rune_native`: the kernels of `rune-core` for Python. `rune/native.py` is the only importer.

mod pii;
mod rate;
mod regex;
mod repair;
mod secrets;
mod sql;
mod words;

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// Bytes from which on other Python threads may run meanwhile: letting go costs more than a small scan.
const DETACH: usize = 32 * 1024;

/// Goes up with every change of what Python may call.
const ABI: u32 = 7;

#[pymodule]
fn rune_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ABI", ABI)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<pii::Pii>()?;
    module.add_class::<rate::Rate>()?;
    module.add_class::<regex::Regex>()?;
    module.add_class::<secrets::Secrets>()?;
    module.add_class::<sql::Sql>()?;
    module.add_class::<words::Words>()?;
    module.add_function(wrap_pyfunction!(repair::repair, module)?)
}

/// UTF-8, with lone surrogates as three bytes.
fn bytes<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(plain) = text.to_str() {
        return Ok(Cow::Borrowed(plain.as_bytes()));
    }
    let encoded = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
    Ok(Cow::Owned(encoded.extract::<Vec<u8>>()?))
}

/// Work on bytes, letting other threads run when there are many.
fn away<T: Send>(py: Python<'_>, data: &[u8], work: impl Fn(&[u8]) -> T + Send + Sync) -> T {
    if data.len() < DETACH { work(data) } else { py.detach(|| work(data)) }
}

/// A `str` of UTF-8 in which lone surrogates may be.
fn text_of<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // Judged and copied in one pass, where it is UTF-8.
    PyString::from_bytes(py, data).or_else(|_| {
        Ok(PyBytes::new(py, data).call_method1("decode", ("utf-8", "surrogatepass"))?.cast_into::<PyString>()?)
    })
}
