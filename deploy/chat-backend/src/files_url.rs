//! Where files are kept, as a setting names it.

use std::str::FromStr;

use url::Url;

/// Where files are kept: a folder (`file:`), or an S3-compatible store (`s3://bucket/prefix`).
#[derive(Clone, Debug)]
pub struct FilesUrl(pub(crate) Url);

impl FilesUrl {
    /// A folder, which is made where it is not there.
    ///
    /// # Panics
    /// Where the path is not absolute.
    #[must_use]
    pub fn folder(path: &std::path::Path) -> Self {
        Self(Url::from_directory_path(path).expect("an absolute path"))
    }
}

impl FromStr for FilesUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let what = "must be file:///an/absolute/folder or s3://bucket/prefix";
        let url = Url::parse(text).map_err(|error| format!("{what} ({error})"))?;
        if !matches!(url.scheme(), "file" | "s3") || url.query().is_some() || url.fragment().is_some() {
            return Err(what.to_owned());
        }
        if url.scheme() == "s3" && url.host_str().is_none_or(str::is_empty) {
            return Err("must name a bucket: s3://bucket/prefix".to_owned());
        }
        Ok(Self(url))
    }
}
