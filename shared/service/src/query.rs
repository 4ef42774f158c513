//! Query parameters, read one by one with every problem named.

use std::{fmt::Display, str::FromStr};

use url::form_urlencoded;

use crate::error::ApiError;
use wire::FieldError;

/// A request's query parameters. Ones nobody asks for are ignored; one given twice is refused when asked for.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Query {
    /// Reads a query string (what follows the `?`).
    #[must_use]
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        Self { pairs, errors: Vec::new() }
    }

    /// The same, where a `+` is a plus and no space: the published client does not encode it.
    #[must_use]
    pub fn parse_literal_plus(query: Option<&str>) -> Self {
        match query {
            Some(query) if query.contains('+') => Self::parse(Some(&query.replace('+', "%2B"))),
            query => Self::parse(query),
        }
    }

    /// A parameter that may be absent. An empty one counts as absent. `None` also where it was refused, which
    /// [`Query::finish`] reports.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let mut given = self.pairs.iter().filter(|(key, value)| key == name && !value.is_empty());
        let (_, text) = given.next()?;
        let parsed = if given.next().is_some() {
            Err("is given twice".to_owned())
        } else if text.contains('\0') {
            // No database takes it.
            Err("must not hold NUL characters".to_owned())
        } else {
            text.parse().map_err(|error: T::Err| error.to_string())
        };
        parsed.map_err(|message| self.refuse(name, message)).ok()
    }

    /// Whether a parameter is there, if only with an empty value.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// A parameter that must be there; `None` where it was refused.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let missing = !self.pairs.iter().any(|(key, value)| key == name && !value.is_empty());
        if missing {
            self.refuse(name, format!("is required: add ?{name}= to the URL"));
            return None;
        }
        self.optional(name)
    }

    /// A whole number in a range, or its default.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u64>, default: u64) -> u64 {
        let problem = match *range.end() {
            u64::MAX => format!("must be a whole number from {}", range.start()),
            end => format!("must be a whole number from {} to {end}", range.start()),
        };
        match self.optional::<String>(name).map(|text| text.parse::<u64>()) {
            None => default,
            Some(Ok(number)) if range.contains(&number) => number,
            Some(_) => {
                self.refuse(name, problem);
                default
            }
        }
    }

    /// Notes a refused parameter.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// A 422 that names every refused parameter.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::validation(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_parameter_is_named() {
        let mut query = Query::parse(Some("limit=501&offset=-1&tenant_id=a&tenant_id=b&cursor="));
        assert_eq!(query.number("limit", 1..=500, 100), 100);
        assert_eq!(query.number("offset", 0..=1000, 0), 0);
        assert_eq!(query.required::<String>("tenant_id"), None);
        assert_eq!(query.optional::<String>("cursor"), None);
        assert_eq!(query.required::<String>("absent"), None);
        let error = query.finish().expect_err("refused");
        let fields: Vec<_> = error.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["limit", "offset", "tenant_id", "absent"]);
    }

    #[test]
    fn what_no_database_would_take_is_refused() {
        let mut query = Query::parse(Some("event_id=a%00b"));
        assert_eq!(query.required::<String>("event_id"), None);
        assert_eq!(query.finish().expect_err("refused").errors()[0].field, "event_id");
    }

    #[test]
    fn a_plus_is_a_plus_where_that_is_asked_for() {
        let read = |query| Query::parse_literal_plus(Some(query)).optional::<String>("v");
        assert_eq!(read("v=mary+x@e.com").as_deref(), Some("mary+x@e.com"));
        assert_eq!(read("v=mary%2Bx%20y").as_deref(), Some("mary+x y"));
    }

    #[test]
    fn what_is_given_is_decoded() {
        let mut query = Query::parse(Some("name=a%20b+c&limit=7"));
        assert_eq!(query.required::<String>("name").as_deref(), Some("a b c"));
        assert_eq!(query.number("limit", 1..=500, 100), 7);
        assert!(query.finish().is_ok());
    }
}
