//! Personal data in a `str`: offsets in code points, lone surrogates welcome.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rune_core::pii::{Entity, Kind, mask, scan, to_code_points};

use crate::DETACH;

/// A scanner for a set of kinds.
#[pyclass(frozen)]
pub struct Pii {
    kinds: u16,
    by: Vec<u8>,
}

#[pymethods]
impl Pii {
    /// `kinds` by their names; `by` stands for every entity in a masked text.
    #[new]
    fn new(kinds: Vec<String>, by: &Bound<'_, PyString>) -> PyResult<Self> {
        let mut wanted = 0;
        for name in kinds {
            let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
            wanted |=
                kind.ok_or_else(|| pyo3::exceptions::PyValueError::new_err(format!("unknown kind: {name}")))?.bit();
        }
        Ok(Self { kinds: wanted, by: bytes(by)?.into_owned() })
    }

    /// `[(start, end, kind), …]`: sorted, without overlap, offsets in code points.
    fn scan(&self, text: &Bound<'_, PyString>) -> PyResult<Vec<(usize, usize, &'static str)>> {
        let data = bytes(text)?;
        let mut found = away(text.py(), &data, |data| scan(data, self.kinds));
        // Every character of the text is one byte where it has as many as its encoding.
        if !found.is_empty() && text.len()? != data.len() {
            to_code_points(&data, &mut found);
        }
        Ok(found.into_iter().map(|Entity { start, end, kind }| (start, end, kind.name())).collect())
    }

    /// The text with every entity replaced; the very same object when there is none.
    fn mask<'py>(&self, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
        let data = bytes(text)?;
        let Some(masked) = away(text.py(), &data, |data| mask(data, self.kinds, &self.by)) else {
            return Ok(text.clone());
        };
        match std::str::from_utf8(&masked) {
            Ok(masked) => Ok(PyString::new(text.py(), masked)),
            // There were lone surrogates, and they are there still.
            Err(_) => Ok(PyBytes::new(text.py(), &masked)
                .call_method1("decode", ("utf-8", "surrogatepass"))?
                .cast_into::<PyString>()?),
        }
    }
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
