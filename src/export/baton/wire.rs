//! Protobuf as `baton-sdk` writes it with `Deterministic: true`: fields in the order of their numbers, those with their
//! default left out, maps sorted by key (<https://protobuf.dev/programming-guides/encoding>).

/// A message that is being written. Its fields are to be set in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A string; the empty one is the default.
    #[must_use]
    pub(super) fn string(self, field: u32, text: &str) -> Self {
        if text.is_empty() { self } else { self.bytes(field, text.as_bytes()) }
    }

    /// One string of a repeated field, or of a oneof: there even where it is empty.
    #[must_use]
    pub(super) fn element(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// A bool; false is the default.
    #[must_use]
    pub(super) fn flag(self, field: u32, flag: bool) -> Self {
        self.number(field, u64::from(flag))
    }

    /// An enum or an integer that is not negative; 0 is the default.
    #[must_use]
    pub(super) fn number(mut self, field: u32, number: u64) -> Self {
        if number != 0 {
            self.tag(field, 0);
            self.varint(number);
        }
        self
    }

    /// A message, which is there even where it is empty.
    #[must_use]
    pub(super) fn message(self, field: u32, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// A repeated enum of at most one element, packed.
    #[must_use]
    pub(super) fn packed(self, field: u32, number: u8) -> Self {
        // One byte as it is: every enum here is below 128.
        if number == 0 { self } else { self.bytes(field, &[number & 0x7f]) }
    }

    /// The message's bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A `google.protobuf.Any` with a message of `c1.connector.v2`.
    pub(super) fn any(name: &str, message: &Self) -> Self {
        let any = Self::new().string(1, &format!("type.googleapis.com/c1.connector.v2.{name}"));
        if message.0.is_empty() { any } else { any.message(2, message) }
    }

    /// A `google.protobuf.Struct` of texts, which must come sorted by name.
    pub(super) fn texts(fields: &[(&str, &str)]) -> Self {
        fields.iter().fold(Self::new(), |all, (name, text)| {
            // An entry of a map has both of its fields, whatever their values; so has the oneof in a `Value`.
            let value = Self::new().element(3, text);
            all.message(1, &Self::new().element(1, name).message(2, &value))
        })
    }

    /// A `google.protobuf.Timestamp`, from milliseconds since 1970.
    pub(super) fn timestamp(millis: i64) -> Self {
        let nanos = u64::try_from(millis.rem_euclid(1000)).unwrap_or_default() * 1_000_000;
        // A negative int64 is its two's complement.
        Self::new().number(1, millis.div_euclid(1000).cast_unsigned()).number(2, nanos)
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes().first().map_or(0, |byte| byte | 0x80));
            number >>= 7;
        }
        self.0.push(number.to_le_bytes().first().copied().unwrap_or_default());
    }
}
