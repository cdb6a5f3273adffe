"""What the name of a value says of it: a password, another secret, or something else such as `max_tokens`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from trace_summarization.redaction.spans import Kind


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OF_PASSWORDS = (
    "password|passwd|passwort|passphrase|passcode|pwd|kennwort|contraseña|contrasena|senha|wachtwoord|hasło|haslo|пароль"
    "|密码|密碼|口令|パスワード|비밀번호|lösenord|adgangskode|parola|şifre|sifre|salasana|jelszó|heslo"
    "|mot de passe|mật khẩu|kata sandi"
    "|requirepass|storepass|keypass|dbpass|adminpass|rootpass|userpass"
    "|pass|pw|clave|mdp|passord|lozinka|كلمة المرور|كلمة السر|סיסמה|पासवर्ड|รหัสผ่าน"
)
_OF_SECRETS = "secret|token|key|credential|auth|mnemonic|seed phrase|cvv|cvc|otp|sid|sessid|sessionid|geheimnis"
_OF_KEYS = (
    "jeton d'accès|jeton d'api|zugriffsschlüssel"
    "|clé api|clé d'api|clé secrète|clave api|clave de api|clave secreta|chave de api|chave api|chave secreta"
    "|api-schlüssel|chiave api|apiキー|api密钥|密钥|令牌|トークン|токен|ключ api|api-ключ"
)
_SECRET_WORDS = f"{_OF_KEYS}|{_OF_PASSWORDS}|{_OF_SECRETS}".split("|")
_IS_PASSWORD = frozenset(_OF_PASSWORDS.split("|")) - {"pass"} | {"pw", "passwords"}
_KEYWORDS = frozenset(
    (
        *("pass", "secret", "secrets", "token", "tokens", "key", "keys", "credential", "credentials", "auth"),
        *("authorization", "cvv", "cvc", "otp", "mnemonic", "seed phrase", "sid", "sessid", "sessionid"),
        *("phpsessid", "jsessionid", "geheimnis"),
    )
)
_COMPOUNDS = re.compile(
    r"^(?:\w*(?:apikey|accesskey|secretkey|privatekey|accountkey|masterkey|signingkey|encryptionkey|authkey|authtoken|accesstoken"
    r"|refreshtoken|idtoken|bearertoken|clientsecret|appsecret|apisecret|apitoken|sessiontoken|bottoken|csrftoken|sharedkey"
    r"|csrfmiddlewaretoken|subscriptionkey|functionkey|appkey))$"
)
_WORDS_OF = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

_QUALIFIERS = _words(
    """
    access account activation admin aes airtable algolia anthropic api app appinsights application auth auth0 aws
    azure base bearer bot brave cipher client cloudflare cohere comet confluence consumer cosmos cron csrf
    csrfmiddleware dapi data database databricks datadog db dd decryption deploy deployment device discord django
    elastic elasticsearch encrypt encryption exa figma firebase flask function gcp ghost github gitlab google gpg
    grafana groq helicone heroku hf hmac host hubspot huggingface id id2 ingest instrumentation integration intercom
    invite jira jwt kibana langchain langfuse langsmith laravel licence license linear login magic mailchimp mailgun
    mapbox maps master mistral neptune netlify newrelic notion npm oauth oauth2 okta one-time openai openweather
    opsgenie pagerduty personal pinecone portkey private publish push pypi rails rapidapi read redis refresh
    registry replicate reset root rsa secret security sendgrid sentry serper server service session shared sign
    signing slack snowflake ssh storage stripe subscription supabase tavily telegram together twilio upload user
    vault vercel verification wallet wandb weather webhook write x xsrf zendesk
    """
)
_NO_SECRET_BEFORE = _words(
    """
    available average avg bos bucket budget cache cached candidate cls completion composite config confirm_your
    continuation count csrf_field current_page cursor dedup dedupe dict each end eos every feature first
    foreign generated group hash i18n idempotency index input join label lexer limit locale
    lookup mask max metric min natural new_line next no non num output pad page pagination parser
    partition per prev previous primary prompt pub public reasoning registry_name remaining row s3 sep setting sort
    special start stop surrogate sync thinking total translation unique unk usage vocab your
    """
)
DESCRIPTIVE_AFTER = _words(
    """
    age alg algorithm arn array at attempt attempts board box budget by bytes callback change changed check class
    cmd code column command context cost count counts created date decoder details digest dir disabled down email
    embedding embeddings enabled encoder endpoint env envvar error errors exp expiration expire expired expires
    expiry factory field fields file filename files fn form format frame frames free from func function generator
    get handler hash hashed helper hint history host id identifier ids in index info input invalid ization ized izer
    label last len length less limit limits link list logprob logprobs managed manager map max message metadata
    method min name names of only page pair pairs path pattern per placeholder policies policy port position
    positions press price probability prompt protected provider rate ref reference regex required reset rotated
    rotation rule rules salt scheme scope scopes screen service set size source space speed state status storage
    store strength template ttl type types up update updated uri url usage used util utils valid validation
    validator validators var variable version view window with word words
    """
)


@dataclass(frozen=True, slots=True)
class Name:
    """What a name announces: a password or another secret; `strong` if hardly anything else is called so."""

    kind: Kind
    strong: bool
    loud: bool  # in capitals, as variables of an environment are
    word: str


def secret_words(lower: str) -> Iterator[tuple[int, int]]:
    """Where words stand that can be a part of such a name, in order and without overlap.

    One search for each word takes a third of the time of one pattern for all of them.
    """
    found: list[tuple[int, int, int]] = []
    for rank, word in enumerate(_SECRET_WORDS):
        at = lower.find(word)
        while at >= 0:
            found.append((at, rank, at + len(word)))
            at = lower.find(word, at + len(word))
    done = 0
    for start, _, end in sorted(found):
        if start >= done:
            yield start, end
            done = end


@lru_cache(maxsize=4_096)
def name_of(before: str, keyword: str, tail: str) -> Name | None:
    """What the name says; None if it is the name of something else, such as `max_tokens` or `password_hint`."""
    identifier = before.rsplit(" ", 1)[-1]
    whole = identifier + keyword + tail
    if keyword.lower() in ("pw", "clave", "mdp") and (tail[:1].isalnum() or identifier[-1:].isalnum()):
        return None  # within a word
    if keyword.lower() in _OF_KEYS.split("|"):
        return Name("secret", True, False, "api key")
    if " " in keyword or not whole.isascii():
        words = [*re.findall(r"[^\W\d_]+", identifier.lower()), keyword.lower()]
    else:
        words = [word.lower() for word in _WORDS_OF.findall(whole)]
    if not words:
        return None
    at = next((index for index in range(len(words) - 1, -1, -1) if _is_keyword(words[index])), None)
    if at is None:
        return None
    rest = words[at + 1 :]
    if any(word in DESCRIPTIVE_AFTER for word in rest):
        return None
    earlier = words[:at]
    spoken = before.rsplit(" ", 2)[:-1] if " " in before else []
    last = words[at]
    loud = whole.isupper() or (keyword.isupper() and whole.upper() == whole)
    if last in ("clave", "mdp"):
        return Name("password", False, loud, last) if not earlier and not rest and not tail else None
    if last in _IS_PASSWORD or _ends_as_password(last):
        return (
            Name("password", True, loud, last)
            if not (earlier and earlier[-1] in {"no", "show", "hide", "forgot", "has"})
            else None
        )
    if last == "pass":
        return Name("password", bool(earlier), loud, last)
    if earlier and earlier[-1] in _NO_SECRET_BEFORE:
        return None
    if last in ("cvv", "cvc", "otp", "cvv2"):
        return Name("secret", True, loud, last) if not earlier or len(words) <= 3 else None
    if last in ("mnemonic", "seed phrase"):
        return Name("secret", True, loud, last)
    if last in ("sid", "sessid", "sessionid", "phpsessid", "jsessionid"):
        return Name("secret", last in ("phpsessid", "jsessionid"), loud, last) if last != "sid" or not earlier else None
    if _COMPOUNDS.match(last) or _COMPOUNDS.match("".join(earlier[-2:]) + last):
        return Name("secret", True, loud, last)
    said = spoken[-1].lower().strip("\"'(*_:") if spoken and not earlier else ""
    if last in ("key", "keys"):
        if any(word in _QUALIFIERS for word in earlier[-3:]) or "secret" in words:
            return Name("secret", True, loud, last)
        if said in _QUALIFIERS:
            return Name("secret", True, loud, last)
        if not earlier:
            return None if said in _NO_SECRET_BEFORE - {"new", "your"} else Name("secret", False, loud, "bare key")
        return Name("secret", False, loud, "key") if loud else None
    if last in ("token", "tokens", "secret", "secrets", "credential", "credentials", "geheimnis"):
        if said in _NO_SECRET_BEFORE:
            return None
        strong = (
            identifier.startswith("--")
            or (bool(earlier) and (any(word in _QUALIFIERS for word in earlier) or loud))
            or said in _QUALIFIERS
        )
        return Name("secret", strong or (last == "secret" and bool(earlier)), loud, last)
    if last in ("auth", "authorization"):
        return Name("secret", False, loud, "auth")
    return None


def _is_keyword(word: str) -> bool:
    return word in _IS_PASSWORD or word in _KEYWORDS or _ends_as_password(word) or bool(_COMPOUNDS.match(word))


def _ends_as_password(word: str) -> bool:
    return word.endswith(("password", "passwd", "passphrase", "passwort", "pwd")) and len(word) <= 20
