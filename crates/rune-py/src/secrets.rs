//! Secrets in a `str`: offsets in code points, lone surrogates welcome.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rune_core::secrets::{Kind, Secret, mask, scan, to_code_points};

use crate::{away, bytes, text_of};

/// A scanner for a set of kinds.
#[pyclass(frozen)]
pub struct Secrets {
    kinds: u16,
    by: Vec<u8>,
}

#[pymethods]
impl Secrets {
    /// `kinds` by their names; `by` stands for every secret in a masked text.
    #[new]
    fn new(kinds: Vec<String>, by: &Bound<'_, PyString>) -> PyResult<Self> {
        let mut wanted = 0;
        for name in kinds {
            let kind = Kind::ALL.iter().find(|(known, _)| *known == name);
            wanted |=
                kind.ok_or_else(|| pyo3::exceptions::PyValueError::new_err(format!("unknown kind: {name}")))?.1.bit();
        }
        Ok(Self { kinds: wanted, by: bytes(by)?.into_owned() })
    }

    /// `[(start, end, kind), …]`: sorted, without overlap, offsets in code points.
    fn scan(&self, text: &Bound<'_, PyString>) -> PyResult<Vec<(usize, usize, &'static str)>> {
        let data = bytes(text)?;
        let mut found = away(text.py(), &data, |data| scan(data, self.kinds));
        if !found.is_empty() && text.len()? != data.len() {
            to_code_points(&data, &mut found);
        }
        Ok(found.into_iter().map(|Secret { start, end, kind }| (start, end, Kind::ALL[kind as usize].0)).collect())
    }

    /// The text with every secret replaced; the very same object when there is none.
    fn mask<'py>(&self, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
        let data = bytes(text)?;
        match away(text.py(), &data, |data| mask(data, self.kinds, &self.by)) {
            Some(masked) => text_of(text.py(), &masked),
            None => Ok(text.clone()),
        }
    }
}
