//! Enums whose variants are words: in the database, in JSON and in messages, each the same everywhere.

/// Declares an enum by its words: `words! { /// Doc. pub enum State { /// Doc. Due = "due", } }`. It can be written as text
/// ([`as_str`](crate::base::jobs::State::as_str)), read of it (`parse`), and is the same text in JSON. A word that was written once has to be read for
/// ever: `Due = "due" | "waiting"` reads the second as well.
macro_rules! words {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $word:literal $(| $older:literal)*),* $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name {
            $($(#[$doc])* $variant),*
        }

        impl $name {
            /// All of them.
            #[allow(dead_code, reason = "not every enum is walked through")]
            $visibility const ALL: [Self; <[&str]>::len(&[$($word),*])] = [$(Self::$variant),*];

            /// The word.
            $visibility const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            /// Reads a word.
            $visibility fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word $(| $older)* => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| {
                    serde::de::Error::unknown_variant(&text, &[$($word),*])
                })
            }
        }
    };
}

pub(crate) use words;

/// A sentence or a word of ours with a capital at its beginning. Ours begin in ASCII; the capitals of all scripts would be 12 KB.
pub(crate) fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    words! {
        /// How a door is.
        enum Door {
            /// It can be walked through.
            Open = "open" | "ajar",
            /// It cannot.
            Shut = "shut",
        }
    }

    #[test]
    fn a_word_is_the_same_as_text_and_in_json_and_an_older_one_is_read() {
        for door in Door::ALL {
            assert_eq!(Door::parse(door.as_str()), Some(door));
            assert_eq!(json!(door), json!(door.as_str()));
            assert_eq!(serde_json::from_value::<Door>(json!(door)).unwrap(), door);
        }
        assert_eq!(serde_json::from_value::<Door>(json!("ajar")).unwrap(), Door::Open);
        assert_eq!(Door::parse("Open"), None);
        let error = serde_json::from_value::<Door>(json!("off its hinges")).unwrap_err();
        assert_eq!(error.to_string(), "unknown variant `off its hinges`, expected `open` or `shut`");
    }
}
