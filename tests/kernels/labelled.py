"""Texts in which every entity is known: written from docs/reference/pii.md alone, for judging scanners.

A program of its own, run where Faker and python-stdnum are: `python labelled.py SEED TEXTS` prints a line of JSON for
each text, `{"text": …, "entities": [[start, end, kind], …]}`. What is valid is decided by those libraries and by the
standard library; nothing here comes from a scanner.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import random
import re
import string
import sys
import uuid
from collections.abc import Callable, Iterator

from faker import Faker
from stdnum import iban, luhn
from stdnum.us import ssn

LOCALES = (
    "en_US", "en_GB", "de_DE", "fr_FR", "it_IT", "es_ES", "nl_NL", "pt_BR", "pl_PL", "sv_SE", "da_DK", "fi_FI",
    "no_NO", "cs_CZ", "tr_TR", "ru_RU", "uk_UA", "ja_JP", "zh_CN", "ko_KR", "en_IN", "en_AU", "fr_CH", "de_AT",
    "ro_RO", "hu_HU", "el_GR", "bg_BG", "pt_PT", "en_CA",
)  # fmt: skip
ALNUM = string.ascii_letters + string.digits
Item = tuple[str, str, str]
"""What stands before, the entity itself, and what stands behind."""


class Writer:
    """All dice are thrown here, so that a seed decides everything."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.fakers = {locale: Faker(locale) for locale in (*LOCALES, "la")}
        for faker in self.fakers.values():
            faker.seed_instance(self.dice.getrandbits(32))
        self.us = self.fakers["en_US"]
        self.kinds: dict[str, Callable[[], Item | None]] = {
            "email": self.email, "phone": self.phone, "ssn": self.ssn, "credit_card": self.card, "iban": self.iban,
            "ipv4": self.ipv4, "ipv6": self.ipv6, "mac_address": self.mac, "date_of_birth": self.birth,
            "jwt": self.jwt, "aws_access_key": self.aws, "api_key": self.key,
        }  # fmt: skip
        self.negatives = (
            self.no_card, self.no_ssn, self.no_iban, self.no_address, self.no_date, self.no_phone, self.no_key,
            self.hashes, self.numbers, self.code,
        )  # fmt: skip

    def texts(self) -> Iterator[tuple[str, list[tuple[int, int, str]]]]:
        """One after the other, without end: some prose, one entity of each of a few kinds, hard negatives between."""
        while True:
            text, entities = self.prose(), []
            for _ in range(self.dice.randrange(4, 10)):
                if self.dice.random() < 0.5:
                    text += self.dice.choice(self.negatives)()
                else:
                    kind = self.dice.choice(tuple(self.kinds))
                    item = self.kinds[kind]()
                    if item is None:
                        continue
                    before, entity, behind = item
                    start = len(text) + len(before)
                    text += before + entity + behind
                    entities.append((start, start + len(entity), kind))
                text += self.dice.choice((". ", "\n", ", ", "; ", " ")) + self.prose()
            yield text, entities

    def prose(self) -> str:
        """Latin words, enough of them that what stands before does not speak of what follows."""
        return " ".join(self.fakers["la"].words(self.dice.randrange(8, 14))) + " "

    def faker(self) -> Faker:
        return self.fakers[self.dice.choice(LOCALES)]

    def some(self, letters: str, count: int) -> str:
        return "".join(self.dice.choices(letters, k=count))

    def digits(self, count: int) -> str:
        return self.some(string.digits, count)

    def wrapped(self, entity: str) -> Item:
        """An entity in what may stand around it."""
        before, behind = self.dice.choice(
            (("", ""), ("(", ")"), ('"', '"'), ("<", ">"), (": ", ""), ("'", "'"), ("=", ""))
        )
        return before, entity, behind

    # --- what is to be found ---

    def email(self) -> Item | None:
        name = self.dice.choice((self.us.email, self.us.ascii_company_email, self.us.safe_email, self.faker().email))()
        if self.dice.random() < 0.2:
            local, _, domain = name.partition("@")
            name = f"{local}{self.dice.choice('+._-%')}{self.some(ALNUM, 4)}@{self.us.domain_word()}.{domain}"
        return self.wrapped(name)

    def phone(self) -> Item | None:
        chosen = self.dice.random()
        if chosen < 0.3:
            return self.american()
        number = self.faker().phone_number()
        if re.fullmatch(r"[+]?[0-9]+(?:[ ./()-]{1,2}[0-9]+)*", number) is None:
            return None
        count = sum(letter.isdigit() for letter in number)
        if number.startswith("+"):
            country_one = number[1] == "1"
            if number[1] == "0" or (count != 11 if country_one else not 7 <= count <= 15):
                return None
            return self.wrapped(number)
        if not 7 <= count <= 15 or luhn.is_valid(re.sub("[^0-9]", "", number)) or len(re.findall("[0-9]+", number)) > 8:
            return None
        word = self.dice.choice(
            ("tel. ", "Tel: ", "phone ", "Phone: ", "mobile: ", "fax ", "móvil: ", "тел. ", "τηλ. ", "电话", "電話: ",
             "携帯 ", "전화 ", "هاتف ", "my phone number is ", "Telefon: ", "téléphone : ")
        )  # fmt: skip
        return word, number, ""

    def american(self) -> Item | None:
        area, exchange = (f"{self.dice.randrange(200, 1000)}" for _ in range(2))
        line = self.digits(4)
        form = self.dice.choice(
            (
                "{}-{}-{}",
                "{}.{}.{}",
                "{} {} {}",
                "({}) {}-{}",
                "1-{}-{}-{}",
                "1 ({}) {}-{}",
                "001-{}-{}-{}",
                "1 {} {} {}",
            )
        )
        extension = self.dice.choice(("", "", "", f"x{self.digits(3)}", f" ext. {self.digits(4)}"))
        if form.startswith("("):
            return " ", form.format(area, exchange, line) + extension, ""
        return self.wrapped(form.format(area, exchange, line) + extension)

    def ssn(self) -> Item | None:
        number = self.us.ssn()
        if not ssn.is_valid(number):
            return None
        if self.dice.random() < 0.2:
            return (
                self.dice.choice(("SSN ", "ssn: ", "Social Security number ")),
                number.replace("-", self.dice.choice(("", " "))),
                "",
            )
        return self.wrapped(number)

    def card(self) -> Item | None:
        maker = self.dice.choice(("visa16", "visa13", "visa19", "mastercard", "amex", "discover", "jcb16", "diners"))
        number = self.us.credit_card_number(maker)
        # Faker gives JCB more than its 3528 to 3589.
        if not luhn.is_valid(number) or (maker == "jcb16" and not 3528 <= int(number[:4]) <= 3589):
            return None
        space = self.dice.choice((" ", "-"))
        if len(number) == 16 and self.dice.random() < 0.6:
            number = space.join(number[at : at + 4] for at in range(0, 16, 4))
        elif len(number) == 15 and self.dice.random() < 0.6:
            number = space.join((number[:4], number[4:10], number[10:]))
        return self.wrapped(number)

    def iban(self) -> Item | None:
        number = self.faker().iban()
        if not iban.is_valid(number, check_country=False):
            return None
        return self.wrapped(iban.format(number) if self.dice.random() < 0.5 else number)

    def ipv4(self) -> Item | None:
        before, address, behind = self.wrapped(self.us.ipv4())
        return before, address, behind or self.dice.choice(("", ":8080", "/24", ""))

    def ipv6(self) -> Item | None:
        address = ipaddress.IPv6Address(self.us.ipv6())
        if self.dice.random() < 0.4:
            words = [f"{self.dice.getrandbits(16) or 1:x}" for _ in range(3)]
            address = ipaddress.IPv6Address(self.dice.choice((f"fe80::{words[0]}", "2001:db8::" + ":".join(words))))
        text = self.dice.choice((address.compressed, address.exploded, address.compressed.upper()))
        if not any(letter.isdigit() for letter in text):
            return None
        before, behind = self.dice.choice((("", ""), ("[", "]:443"), ("", "%eth0"), ("", "/64"), ("(", ")")))
        return before, text, behind

    def mac(self) -> Item | None:
        address = self.us.mac_address()
        if self.dice.random() < 0.3:
            plain = address.replace(":", "")
            if any(letter.isdigit() for letter in plain):
                return self.wrapped(".".join((plain[:4], plain[4:8], plain[8:])))
        address = address.replace(":", self.dice.choice(":-"))
        return self.wrapped(self.dice.choice((address, address.upper())))

    def birth(self) -> Item | None:
        date = self.us.date_of_birth(minimum_age=1, maximum_age=100)
        form = self.dice.choice(("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"))
        word = self.dice.choice(
            ("born ", "born on ", "date of birth: ", "DOB: ", "dob ", "geboren am ", "geb. ", "né le ", "née le ",
             "date de naissance : ", "fecha de nacimiento: ", "nato il ", "data di nascita ", "生年月日 ", "出生")
        )  # fmt: skip
        return word, date.strftime(form), ""

    def jwt(self) -> Item | None:
        def part(content: bytes) -> str:
            return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

        head = {"alg": self.dice.choice(("HS256", "RS256", "ES384")), "typ": "JWT", "kid": self.some(ALNUM, 6)}
        body = {"sub": self.us.user_name(), "iat": self.dice.randrange(10**9, 2 * 10**9)}
        parts = [part(json.dumps(each, separators=(",", ":")).encode()) for each in (head, body)]
        if not any(letter.isdigit() for letter in parts[0]):
            return None
        return self.wrapped(".".join((*parts, part(self.dice.randbytes(32)))))

    def aws(self) -> Item | None:
        prefix = self.dice.choice(("AKIA", "ASIA", "AROA", "AIDA", "AGPA", "ANPA", "APKA"))
        return self.wrapped(prefix + self.some(string.ascii_uppercase + string.digits, 16))

    def key(self) -> Item | None:
        prefix, count = self.dice.choice(
            (("sk-", 48), ("sk_live_", 24), ("ghp_", 36), ("github_pat_", 40), ("glpat-", 20), ("xoxb-", 24),
             ("AIza", 35), ("npm_", 36), ("hf_", 34), ("pypi-", 60))
        )  # fmt: skip
        secret = self.some(ALNUM, count)
        if not (any(map(str.isdigit, secret)) and any(map(str.isalpha, secret))):
            return None
        if self.dice.random() < 0.5:
            return self.wrapped(prefix + secret)
        before, behind = self.dice.choice(
            (("api_key=", ""), ('"api_key": "', '"'), ("access-token: ", ""), ("client secret = ", ""), ("Bearer ", ""),
             ("apiKey: '", "'"), ("SECRET_KEY=", ""), ("auth_token='", "'"))
        )  # fmt: skip
        return before, self.some(ALNUM, 4) + "7k" + self.some(ALNUM + "-_+/", 20) + self.some(ALNUM, 4), behind

    # --- what only looks like it ---

    def no_card(self) -> str:
        number = self.us.credit_card_number(self.dice.choice(("visa16", "mastercard", "discover")))
        number = number[:-1] + str((int(number[-1]) + self.dice.randrange(1, 10)) % 10)
        form = self.dice.choice((number, " ".join(number[at : at + 4] for at in range(0, 16, 4))))
        return form if not luhn.is_valid(number) else ""

    def no_ssn(self) -> str:
        area = self.dice.choice(("000", "666", str(self.dice.randrange(900, 1000))))
        return self.dice.choice(
            (f"{area}-{self.digits(2)}-{self.digits(4)}", f"123-00-{self.digits(4)}", "123-45-0000",
             f"ORD-{self.digits(3)}-{self.digits(2)}-{self.digits(4)}", f"order {self.digits(9)}")
        )  # fmt: skip

    def no_iban(self) -> str:
        number = self.faker().iban()
        broken = number[:2] + f"{(int(number[2:4]) + self.dice.randrange(1, 90)) % 97 + 2:02}" + number[4:]
        if iban.is_valid(broken, check_country=False) or luhn.is_valid(broken[4:]) or not broken[4:12].isdigit():
            return ""
        return broken

    def no_address(self) -> str:
        return self.dice.choice(
            (f"{self.dice.randrange(256, 1000)}.1.1.{self.dice.randrange(99)}", f"1.2.{self.dice.randrange(99)}.4.5",
             f"v{self.dice.randrange(9)}.{self.dice.randrange(99)}.1.0", "std::dec::bad", "::", "10:20:30",
             f"01.02.03.{self.dice.randrange(10, 99)}", "aa:bb:cc:dd:ee", "00-11-22-33-44-55-66", "a::b::1")
        )  # fmt: skip

    def no_date(self) -> str:
        date = self.us.date_of_birth(minimum_age=1, maximum_age=100)
        return self.dice.choice(
            (date.strftime("%Y-%m-%d"), date.strftime("%d/%m/%Y"), date.strftime("%Y-%m-%dT10:20:30Z"))
        )

    def no_phone(self) -> str:
        return self.dice.choice(
            (f"SKU-555-234-{self.digits(4)}", f"{self.dice.randrange(10**9, 2 * 10**9)}", f"155-234-{self.digits(4)}",
             f"555-134-{self.digits(4)}", f"#{self.digits(8)}", f"1,{self.digits(3)},{self.digits(3)}", "555-1234")
        )  # fmt: skip

    def no_key(self) -> str:
        return self.dice.choice(
            ("sk-learn", "api_key=short1", "token 5", "the api_key of us",
             "AKIA" + self.some(string.ascii_uppercase, 12),
             "xAKIA" + self.some(string.ascii_uppercase, 16), "eyJhbGciOiJIUzI1NiJ9", "task-force-of-the-year-2026",
             "user@localhost", "@home", "a@b", "secret=" + self.some(string.ascii_lowercase, 30))
        )  # fmt: skip

    def hashes(self) -> str:
        noise = self.dice.randbytes(16)
        return self.dice.choice(
            (hashlib.sha256(noise).hexdigest(), hashlib.sha1(noise).hexdigest(), str(uuid.UUID(bytes=noise, version=4)))
        )

    def numbers(self) -> str:
        return self.dice.choice(
            (f"{self.dice.random() * 1000:.2f}", f"{self.dice.randrange(1000)}%", f"{self.dice.randrange(10**6)} bytes",
             f"52.{self.digits(4)}, 13.{self.digits(4)}", f"{self.dice.randrange(24):02}:{self.digits(2)}", "16:9",
             f"{self.dice.randrange(2, 99)}-{self.dice.randrange(100, 200)}", f"3.{self.digits(8)}")
        )  # fmt: skip

    def code(self) -> str:
        return self.dice.choice(
            (f"x[{self.dice.randrange(99)}] = y(0x{self.dice.getrandbits(32):08x})", "for i in range(10): pass",
             f"line {self.dice.randrange(999)}:{self.dice.randrange(99)}",
             f"/var/log/{self.us.word()}.{self.digits(2)}.gz",
             f"rev {self.dice.getrandbits(28):07x}", f"{self.us.word()}_{self.digits(3)}")
        )  # fmt: skip


def main(seed: str, count: str) -> None:
    texts = Writer(int(seed)).texts()
    for _ in range(int(count)):
        text, entities = next(texts)
        print(json.dumps({"text": text, "entities": entities}))


if __name__ == "__main__":
    main(*sys.argv[1:])
