//! Addresses of pictures that administrators name: whole addresses, paths of the site, or names of uploaded files.

use serde_json::Value;
use weir_resource::Site;

/// The address of a picture.
pub fn address(site: &Site, name: &str) -> String {
    site.picture(name)
}

/// The addresses for light and dark pages; null when the name has no `%(theme)s`.
pub fn themed(site: &Site, name: &str) -> Value {
    site.themed_picture(name)
}
