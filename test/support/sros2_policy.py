"""The SROS2 policy that comes with the package, read as SROS2 does."""

from pathlib import Path
from xml.etree import ElementTree

POLICY = Path(__file__).parents[2] / "config/sros2_policy.xml"
RIGHTS = {"publish": "topics", "subscribe": "topics", "reply": "services", "request": "services"}


def allowed(node, namespace="/"):
    """Return the full names that the file allows a node, by right, as SROS2 expands them."""
    found = ElementTree.parse(POLICY).getroot().findall(f"enclaves/enclave[@path='/metric3d/{node}']/profiles/profile")
    assert len(found) == 1
    profile = found[0]
    assert profile.attrib == {"ns": "/", "node": node}
    base = namespace.rstrip("/") + "/"

    def expand(name):
        return name if name.startswith("/") else base + (name.replace("~", node, 1) if name[0] == "~" else name)

    return {
        right: {expand(each.text) for rules in profile.findall(f"{group}[@{right}='ALLOW']") for each in rules}
        for right, group in RIGHTS.items()
    }
