//! People's names as they really are: several scripts, apostrophes, combining marks, and none at all.

/// A given or family name and the form of it that goes into an ordinary e-mail address.
pub(super) type Name = (&'static str, &'static str);

/// Given names.
pub(super) const FIRST: [Name; 24] = [
    ("Jane", "jane"),
    ("Zoë", "zoe"),
    ("Łukasz", "lukasz"),
    ("Nguyễn", "nguyen"),
    ("D'Arcy", "darcy"),
    ("Müjde", "mujde"),
    ("伟", "wei"),
    ("さくら", "sakura"),
    ("Олена", "olena"),
    ("محمد", "mohammed"),
    ("Søren", "soren"),
    ("Anne-Marie", "annemarie"),
    ("Ravi", "ravi"),
    ("Siân", "sian"),
    ("José", "jose"),
    ("Ngozi", "ngozi"),
    ("Ιωάννα", "ioanna"),
    ("דוד", "david"),
    ("Þóra", "thora"),
    ("Mia", "mia"),
    ("민준", "minjun"),
    ("Kwame", "kwame"),
    ("Ana", "ana"),
    ("X", "x"),
];

/// Family names; one with a combining accent, one with quotation marks, one outside the basic plane.
pub(super) const LAST: [Name; 20] = [
    ("O'Brien", "obrien"),
    ("Müller", "mueller"),
    ("van der Berg", "vanderberg"),
    ("García Márquez", "garcia"),
    ("李", "li"),
    ("佐藤", "sato"),
    ("Шевченко", "shevchenko"),
    ("Þorsteinsdóttir", "thorsteinsdottir"),
    ("Smith", "smith"),
    ("D’Souza", "dsouza"),
    ("Nuñez", "nunez"),
    ("e\u{301}tranger", "etranger"),
    ("الهاشمي", "alhashimi"),
    ("\"Quote\" McTest", "mctest"),
    ("Öztürk", "ozturk"),
    ("𠮷田", "yoshida"),
    ("Kowalczyk", "kowalczyk"),
    ("Okafor", "okafor"),
    ("Singh", "singh"),
    ("Lê", "le"),
];

/// Domains of e-mail addresses.
pub(super) const DOMAINS: [&str; 6] =
    ["example.com", "Example.COM", "corp.example.org", "bücher.example", "example.net", "sub.mail.example.com"];

/// Names of user groups; repeated with a number when more are needed.
pub(super) const GROUPS: [&str; 8] = [
    "Operators",
    "Ingénierie réseau",
    "SRE / on-call",
    "Finance & Billing",
    "開発チーム",
    "Contractors (Q4)",
    "Auditors",
    "O'Neil's team",
];
