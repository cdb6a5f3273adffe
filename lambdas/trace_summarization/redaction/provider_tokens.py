"""Keys and tokens that can be told by their form alone, each in the form that its provider documents."""

import re
from dataclasses import dataclass
from functools import cache

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.spans import Span
from trace_summarization.redaction.value_forms import is_surely_random

# Not within a word; but after an escape (`\n`, `%3D`, `\u003d`), which ends with a letter or digit.
_NOT_IN_WORD = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f][0-9A-Fa-f])|(?<=\\u[0-9A-Fa-f]{4}))"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True)
class _Form:
    """A token of this provider holds the literal `anchor`; `pattern` matches all of it from its start.

    The token starts up to `lead` characters before its anchor. Group 1, if there is one, is the secret part.
    """

    provider: str
    anchor: str
    pattern: str
    lead: int = 0


def _form(provider: str, anchor: str, rest: str) -> _Form:
    return _Form(provider, anchor, re.escape(anchor) + rest)


def _around(provider: str, anchor: str, pattern: str, lead: int) -> _Form:
    return _Form(provider, anchor, pattern, lead)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled when first needed: most texts hold the anchors of few forms, and all of them take 100 ms."""
    return re.compile(_NOT_IN_WORD + pattern)


_FORMS = (
    # Models
    _form("OpenAI, Anthropic, OpenRouter, Langfuse, DeepSeek and others", "sk-", r"[A-Za-z0-9_-]{16,300}"),
    _form("ElevenLabs", "sk_", r"[0-9a-f]{48}\b"),
    _form("Hugging Face", "hf_", r"[A-Za-z0-9]{20,60}"),
    _form("Hugging Face organization", "api_org_", r"[A-Za-z0-9]{20,60}"),
    _form("Groq", "gsk_", r"[A-Za-z0-9]{20,100}"),
    _form("xAI", "xai-", r"[A-Za-z0-9]{20,120}"),
    _form("Perplexity", "pplx-", r"[A-Za-z0-9]{20,80}"),
    _form("Replicate", "r8_", r"[A-Za-z0-9]{20,60}"),
    _form("NVIDIA", "nvapi-", r"[\w-]{20,100}"),
    _form("Pinecone", "pcsk_", r"\w{20,100}"),
    _form("LangSmith", "lsv2_", r"(?:pt|sk)_[0-9a-f]{20,64}(?:_[0-9a-f]{6,20})?"),
    _form("Tavily", "tvly-", r"[\w-]{16,80}"),
    _form("Fireworks", "fw_", r"[A-Za-z0-9]{20,60}"),
    _form("Cerebras", "csk-", r"[a-z0-9]{20,80}"),
    _form("Jina", "jina_", r"[\w-]{20,100}"),
    _form("LlamaCloud", "llx-", r"[\w-]{20,100}"),
    _form("Firecrawl", "fc-", r"[0-9a-f]{24,64}\b"),
    _form("E2B", "e2b_", r"[0-9a-f]{24,64}"),
    _form("Logfire", "pylf_", r"v\d_\w{2}_\w{20,80}"),
    _form("Voyage", "pa-", r"[A-Za-z0-9_-]{40,60}"),
    # Clouds
    *(_form("AWS key id", start, r"[A-Z0-9]{16}(?![A-Z0-9])") for start in ("AKIA", "ASIA", "ABIA", "ACCA")),
    _form("AWS Bedrock", "ABSK", r"[A-Za-z0-9+/]{60,300}={0,2}"),
    _form("AWS Bedrock, short-lived", "bedrock-api-key-", r"[A-Za-z0-9+/]{40,4000}={0,2}"),
    _form("AWS session token", "IQoJb3JpZ2luX2", r"[A-Za-z0-9+/%]{60,4000}={0,2}"),
    _form("AWS session token", "FwoGZXIvYXdzE", r"[A-Za-z0-9+/%]{60,4000}={0,2}"),
    _form("Amazon MWS", "amzn.mws.", _UUID),
    _form("Google API key", "AIza", r"[\w-]{30,45}"),
    _form("Google OAuth access", "ya29.", r"[\w-]{20,2000}(?:\.[\w-]{1,200})*"),
    _form("Google OAuth client secret", "GOCSPX-", r"[\w-]{20,40}"),
    _form("Google OAuth refresh", "1//0", r"[\w-]{30,200}"),
    _around("Azure AD client secret", "Q~", r"[\w.~-]{3}\dQ~[\w.~-]{31,34}", 4),
    _form("Azure storage", "AccountKey=", r"([A-Za-z0-9+/]{20,100}={0,2})"),
    _form("Azure shared access", "SharedAccessKey=", r"([A-Za-z0-9+/]{20,100}={0,2})"),
    _around("DigitalOcean", "_v1_", r"do[opr]_v1_[0-9a-f]{32,64}", 3),
    _form("Alibaba key id", "LTAI", r"[A-Za-z0-9]{12,24}\b"),
    _form("Tencent key id", "AKID", r"[A-Za-z0-9]{32,40}\b"),
    _form("Yandex", "AQVN", r"[\w-]{35,40}"),
    _form("Yandex", "y0_", r"[\w-]{40,80}"),
    _form("Heroku", "HRKU-", r"[\w-]{30,80}"),
    _form("Fly.io", "fm2_", r"[\w+/=-]{30,1000}"),
    _form("Fly.io", "fo1_", r"[\w-]{30,100}"),
    _form("Supabase", "sbp_", r"[0-9a-f]{32,64}"),
    _form("Supabase", "sb_secret_", r"[\w-]{20,80}"),
    _form("Vercel", "vc", r"[pkair]_[A-Za-z0-9]{20,80}"),
    _form("Netlify", "nfp_", r"[A-Za-z0-9]{30,60}"),
    _form("Render", "rnd_", r"[A-Za-z0-9]{24,60}"),
    _form("Neon", "npg_", r"[A-Za-z0-9]{10,60}"),
    _form("PlanetScale", "pscale_", r"(?:tkn|pw|oauth)_[\w.-]{20,80}"),
    _form("Cloudflare origin CA", "v1.0-", r"[0-9a-f]{16,40}-[0-9a-f]{60,200}"),
    # Signed URLs: who has one may do what it says
    *(
        _form("a signed URL", anchor, r"([A-Za-z0-9+/_-]{16,1200}(?:%[0-9A-F]{2}[A-Za-z0-9+/_-]{0,600}){0,40}={0,2})")
        for anchor in ("sig=", "X-Amz-Signature=", "X-Goog-Signature=", "X-Amz-Security-Token=", "&Signature=")
    ),
    _around("a key in a URL", "key=", r"(?<=[?&])key=([A-Za-z0-9_-]{20,100})", 0),
    _form("OpenWeather", "appid=", r"([0-9a-f]{32})\b"),
    # Code and packages
    *(_form("GitHub", f"gh{kind}_", r"[A-Za-z0-9]{20,255}") for kind in "pousr"),
    _form("GitHub, fine-grained", "github_pat_", r"\w{20,255}"),
    _form("GitLab", "gl", r"(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt|oas|ffct)-[\w.-]{16,300}"),
    _form("GitLab runner", "GR1348941", r"[\w-]{16,40}"),
    _form("npm", "npm_", r"[A-Za-z0-9]{30,60}"),
    _form("PyPI", "pypi-", r"[\w-]{50,400}"),
    _form("RubyGems", "rubygems_", r"[0-9a-f]{32,64}"),
    _form("crates.io", "cio", r"[A-Za-z0-9]{32}\b"),
    _form("NuGet", "oy2", r"[a-z0-9]{43}\b"),
    _form("Docker", "dckr_pat_", r"[\w-]{20,60}"),
    _form("Docker", "dckr_oat_", r"[\w-]{20,60}"),
    _form("JFrog", "AKCp", r"[A-Za-z0-9]{60,90}\b"),
    _form("JFrog", "cmVmdGtu", r"[A-Za-z0-9]{50,70}\b"),
    _form("Sonar", "sq", r"[pua]_[0-9a-f]{32,48}"),
    _form("CircleCI", "CCIPAT_", r"[\w-]{30,100}"),
    _form("Buildkite", "bkua_", r"[0-9a-f]{30,64}"),
    _form("Atlassian", "ATATT3", r"[\w=+/-]{50,300}"),
    _form("Atlassian", "ATCTT3", r"[\w=+/-]{50,300}"),
    _form("Bitbucket", "ATBB", r"[A-Za-z0-9]{24,40}"),
    _form("Postman", "PMAK-", r"[0-9a-f]{20,32}-[0-9a-f]{30,40}"),
    # Talk and mail
    _form("Slack", "xox", r"[abceoprsd][.-][\w.%-]{10,300}"),
    _form("Slack app", "xapp-", r"\d-[\w-]{20,200}"),
    _form("Slack webhook", "hooks.slack.com/", r"(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,120})"),
    _form("Slack webhook", "hooks.slack-gov.com/", r"(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,120})"),
    _form("Discord webhook", "discord.com/api/", r"(?:v\d{1,2}/)?webhooks/(\d{15,22}/[\w-]{30,100})"),
    _form("Discord webhook", "discordapp.com/api/", r"(?:v\d{1,2}/)?webhooks/(\d{15,22}/[\w-]{30,100})"),
    _form("Teams webhook", "webhook.office.com/", r"webhookb2/([\w@-]{36,90}/IncomingWebhook/[\w/-]{32,120})"),
    _around("Telegram bot", ":AA", r"(?:bot)?(\d{8,10}:AA[\w-]{30,35})", 13),
    _form("SendGrid", "SG.", r"[\w-]{16,24}\.[\w-]{30,50}"),
    _form("Twilio", "SK", r"[0-9a-f]{32}\b"),
    _form("Mailgun", "key-", r"[0-9a-f]{32}\b"),
    _around("Mailchimp", "-us", r"[0-9a-f]{32}-us\d{1,2}\b", 32),
    _form("Brevo", "xkeysib-", r"[0-9a-f]{40,80}-[A-Za-z0-9]{10,20}"),
    _form("Brevo", "xsmtpsib-", r"[0-9a-f]{40,80}-[A-Za-z0-9]{10,20}"),
    _form("Resend", "re_", r"[A-Za-z0-9]{8}_[A-Za-z0-9]{20,30}\b"),
    _form("Mattermost and others", "dG9rO", r"[A-Za-z0-9+/]{50,60}={0,2}"),
    # Payment and shops
    _form("Stripe webhook", "whsec_", r"[A-Za-z0-9+/=]{20,100}"),
    _form("Square", "sq0atp-", r"[\w-]{20,40}"),
    _form("Square", "sq0csp-", r"[\w-]{30,60}"),
    _form("Square", "EAAAE", r"[\w-]{55,70}"),
    _form("Square", "EAAAl", r"[\w-]{55,70}"),
    _form("Facebook", "EAACEdEose0cBA", r"[A-Za-z0-9]{10,200}"),
    _form("Facebook", "EAA", r"[A-Za-z0-9]{80,300}\b"),
    _form("Shopify", "shp", r"(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _around("Plaid", "access-", rf"access-(?:sandbox|development|production)-{_UUID}", 0),
    _form("Flutterwave", "FLWSECK", r"[_-](?:TEST-)?[0-9a-zA-Z-]{12,60}"),
    _form("EasyPost", "EZAK", r"[A-Za-z0-9]{54}\b"),
    _form("EasyPost", "EZTK", r"[A-Za-z0-9]{54}\b"),
    _form("Duffel", "duffel_", r"(?:test|live)_[\w-]{30,60}"),
    _form("Shippo", "shippo_", r"(?:test|live)_[0-9a-f]{30,60}"),
    _form("Razorpay", "rzp_", r"(?:test|live)_[A-Za-z0-9]{14,40}"),
    # Work
    _form("Linear", "lin_api_", r"[A-Za-z0-9]{30,60}"),
    _form("Linear", "lin_oauth_", r"[A-Za-z0-9]{30,80}"),
    _form("Notion", "ntn_", r"[A-Za-z0-9]{30,60}"),
    _form("Notion", "secret_", r"[A-Za-z0-9]{40,50}\b"),
    _form("Figma", "figd_", r"[\w-]{30,60}"),
    _around("Airtable", "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", 0),
    _form("HubSpot", "pat-", rf"(?:na|eu|ap)\d-{_UUID}"),
    _form("Typeform", "tfp_", r"[\w.-]{40,70}"),
    _form("Contentful", "CFPAT-", r"[\w-]{40,50}"),
    _form("ReadMe", "rdme_", r"[a-z0-9]{60,80}"),
    _form("Asana", "2/", r"\d{10,20}/\d{10,20}:[0-9a-f]{32}"),
    _form("Dropbox", "sl.", r"[\w-]{60,1500}"),
    # Watching and keeping
    _form("Databricks", "dapi", r"[0-9a-f]{32}(?:-\d)?"),
    _form("Databricks", "dose", r"[0-9a-f]{32}(?:-\d)?"),
    _form("New Relic", "NR", r"(?:AK|II|JS|RA|AL|MA|IQ|SP)-[\w-]{20,60}"),
    _around("New Relic licence", "NRAL", r"[0-9a-zA-Z]{36}NRAL\b", 36),
    _around(
        "Sentry DSN", "@o", r"https?://([0-9a-f]{32})(?::[0-9a-f]{32})?@o\d+\.ingest\.(?:[a-z]{2}\.)?sentry\.io", 73
    ),
    _form("Sentry", "sntrys_", r"[\w+/=-]{40,400}"),
    _form("Sentry", "sntryu_", r"[0-9a-f]{64}"),
    _form("Grafana", "glc_", r"[A-Za-z0-9+/]{32,400}={0,2}"),
    _form("Grafana", "glsa_", r"[A-Za-z0-9]{32}_[0-9a-fA-F]{8}"),
    _form("Dynatrace", "dt0c01.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _form("PostHog", "phx_", r"[\w-]{30,60}"),
    _form("PostHog", "phs_", r"[\w-]{30,60}"),
    _form("Vault", "hv", r"[sbr]\.[\w-]{20,300}"),
    _form("Vault before 1.10", "s.", r"[A-Za-z0-9]{24}(?![\w.(])"),
    _form("Doppler", "dp.", r"(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{1,40}\.)?[A-Za-z0-9]{40,44}"),
    _form("age", "AGE-SECRET-KEY-1", r"[A-Z0-9]{40,60}"),
    _around("Terraform Cloud", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,80}", 14),
    _form("Pulumi", "pul-", r"[0-9a-f]{40}"),
    _form("Prefect", "pnu_", r"[A-Za-z0-9]{30,40}"),
    _form("1Password service account", "ops_eyJ", r"[\w+/=-]{40,2000}"),
    _form("1Password secret key", "A3-", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
    _form("Tailscale", "tskey-", r"[a-z]{2,10}-[\w-]{16,100}"),
    _form("LaunchDarkly", "sdk-", _UUID),
    _form("Adafruit", "aio_", r"[A-Za-z0-9]{26,30}\b"),
    _form("Mapbox", "sk.eyJ", r"[\w-]{40,300}\.[\w-]{16,60}"),
    _form("JSON Web Token", "eyJ", r"(?:hbGci|0eXAi|raWQi|lbmMi)[\w-]{8,4000}\.[\w-]{8,8000}(?:\.[\w-]*){0,3}"),
    _form("JSON Web Token, other header", "eyJ", r"[\w-]{8,4000}\.eyJ[\w-]{8,8000}\.[\w-]{16,1000}"),
    _form("Zapier webhook", "hooks.zapier.com/hooks/catch/", r"(\d{4,12}/[a-z0-9]{5,12})"),
    _form("Firebase messaging", "AAAA", r"[\w-]{7}:APA91b[\w-]{100,200}"),
    # Anyone's `xyz_live_...`, as with Stripe, Clerk, Lob, Polar
    *(
        _around(
            "keys of a named mode", anchor, rf"[A-Za-z]{{1,12}}(?:_[a-z]{{1,8}})?{anchor}[A-Za-z0-9_]{{14,250}}", 24
        )
        for anchor in ("_live_", "_test_", "_prod_", "_sandbox_")
    ),
)
_PUBLIC_STARTS = ("pk_", "pk-", "phc_", "price_", "prod_")
_DISCORD = re.compile(r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}")
_WORD_OR_NUMBER = re.compile(r"[a-z]{0,15}\d{0,4}|[A-Z]?[a-z]{0,14}|[A-Z]{1,9}|\d{1,6}")
_LONG_WORD = re.compile(r"[A-Za-z0-9_\-./=:@+%~&]{14,}")  # every token is, with its anchor, within one
_LONG_RUN = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{32,}={0,2}")


def find_provider_tokens(text: str) -> list[Span]:
    """Spans of all tokens that show by their form whose they are."""
    spans: list[Span] = []
    long_words = "\n".join(_LONG_WORD.findall(text))
    for form in _FORMS:
        if form.anchor not in long_words:
            continue
        at = text.find(form.anchor)
        pattern = _compiled(form.pattern)
        while at >= 0:
            found = pattern.match(text, at - _lead(text, at, form.lead) if form.lead else at)
            if found and _is_random(found, form):
                group = 1 if pattern.groups else 0
                spans.append(Span(found.start(group), found.end(group), "secret"))
            at = text.find(form.anchor, found.end() if found and found.end() > at else at + len(form.anchor))
    spans += [
        Span(found.start(), found.end(), "secret")
        for found in _DISCORD.finditer(text)
        if not text[found.start() - 1 : found.start()].isalnum() and _is_mixed(found.group())
    ]
    return spans


def find_long_runs(text: str) -> list[Span]:
    """Spans of base64 of at least 32 characters that look random, whatever they are."""
    return [
        Span(found.start(), found.end(), "secret") for found in _LONG_RUN.finditer(text) if _is_mixed(found.group())
    ]


def _lead(text: str, at: int, most: int) -> int:
    """How many characters right before `at` can belong to a token, at most `most`."""
    before = text[max(0, at - most) : at]
    return len(before) - len(before.rstrip(_ALPHABET + ".~:/"))


def _is_random(found: re.Match[str], form: _Form) -> bool:
    if found.re.groups:
        return not is_placeholder(found.group(1)) and (form.provider != "a key in a URL" or is_surely_random(found[1]))
    token = found.group()
    if token.startswith(_PUBLIC_STARTS):
        return False
    body = token[len(form.anchor) :] if token.startswith(form.anchor) else token
    if is_placeholder(body) or len(set(body)) < 5:
        return False
    return not all(_WORD_OR_NUMBER.fullmatch(part) for part in re.split(r"[-_.]", body))


def _is_mixed(run: str) -> bool:
    return sum(char.isdigit() for char in run) >= 4 and not run.isupper() and not run.islower()
