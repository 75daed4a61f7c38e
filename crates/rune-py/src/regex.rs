//! A pattern of the operator over a `str`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rune_core::regex::{Filter, Filtered, Part};

use crate::{away, text_of};

/// A pattern and what is put in place.
#[pyclass(frozen)]
pub struct Regex {
    filter: Filter,
}

#[derive(FromPyObject)]
enum Piece {
    Group(usize),
    Text(String),
}

#[pymethods]
impl Regex {
    /// As `rune.kernels.regex.Program` and `Template` have it.
    #[new]
    fn new(ascii: &str, wide: Option<&str>, closed: bool, template: Vec<Piece>) -> PyResult<Self> {
        let template = template.into_iter().map(|piece| match piece {
            Piece::Group(number) => Part::Group(number),
            Piece::Text(text) => Part::Text(text.into_bytes()),
        });
        let filter = Filter::new(ascii, wide, closed, template.collect()).map_err(PyValueError::new_err)?;
        Ok(Self { filter })
    }

    /// The text with every match replaced; the very same object when there is none; None where only Python can tell.
    fn sub<'py>(&self, text: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyString>>> {
        let Ok(plain) = text.to_str() else { return Ok(None) };
        Ok(match away(text.py(), plain.as_bytes(), |data| self.filter.sub(data)) {
            Filtered::Same => Some(text.clone()),
            Filtered::Unknown => None,
            Filtered::Changed(changed) => Some(text_of(text.py(), &changed)?),
        })
    }
}
