"""Judges flyball's OPC UA server with a client that nobody here wrote: asyncua (Python).

Connects with Basic256Sha256 SignAndEncrypt, user and password and a certificate made for this run; browses everything below the root folder;
checks units, ranges, status and times of every value; sees outputs change by subscription; calls SetMode and prints the server's sentence; and
tries what must be refused: no security, a wrong password, writes, wrong arguments.

Each check prints one line. The last line is `N passed, N failed`; the exit code is 1 if anything failed.

    asyncua_client.py --endpoint opc.tcp://127.0.0.1:4840/ --user operator --password env:FLYBALL_PASSWORD --root R101-OPT
"""

import argparse
import asyncio
import math
import os
import pathlib
import shutil
import socket
import sys
import tempfile
from datetime import datetime, timedelta, timezone

from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

from judge import Checks

BASIC256SHA256 = SecurityPolicyBasic256Sha256.URI
POLICY_NONE = "http://opcfoundation.org/UA/SecurityPolicy#None"
UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"
# OPC 10000-6: a null time is the first moment that a DateTime can hold.
NULL_TIME_YEAR = 1601
CLOCK_TOLERANCE = timedelta(seconds=5)
TIMEOUT_S = 10


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True, help="opc.tcp://host:port/path")
    parser.add_argument("--user", required=True, help="a user with the role Operator or above")
    parser.add_argument("--password", required=True, help="the password, or env:NAME")
    parser.add_argument("--root", required=True, help="name of the root folder below Objects")
    parser.add_argument("--folders", default="Status,Timing,Inputs,Models,Optimiser,Handshake", help="folders that must exist")
    parser.add_argument("--changing", default="Status/CycleNumber,Status/Heartbeat", help="values that must rise by themselves")
    parser.add_argument("--mode", type=int, default=1, help="mode asked for with SetMode: 0 OFF, 1 ADVISORY, 2 CLOSED LOOP")
    parser.add_argument("--pki", type=pathlib.Path, help="folder of the server's certificates: the first connect must be refused and the "
                        "certificate is then moved from rejected to trusted, as docs/OPERATING.md tells")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to wait for changes")
    parser.add_argument("--connect-patience", type=float, default=30.0, help="seconds to wait for the server to listen")
    return parser.parse_args()


def secret(text):
    """A password given as it is, or by the name of an environment variable."""
    if text.startswith("env:"):
        return os.environ[text.removeprefix("env:")]
    return text


async def make_certificate(folder):
    """Makes key and certificate of this run; returns their paths and the ApplicationUri inside."""
    host = socket.gethostname()
    uri = f"urn:{host}:flyball:interop"
    key, certificate = folder / "key.pem", folder / "certificate.der"
    await setup_self_signed_certificate(key, certificate, uri, host, [ExtendedKeyUsageOID.CLIENT_AUTH], {
        "countryName": "XX", "organizationName": "flyball interop",
    })
    return key, certificate, uri


async def wait_for_listener(endpoint, patience):
    """Waits until somebody listens at the endpoint's host and port."""
    host, port = endpoint.removeprefix("opc.tcp://").split("/")[0].rsplit(":", 1)
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return True
        except OSError:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.2)


async def secure_client(args, own, password):
    """A client with SignAndEncrypt, not yet connected."""
    key, certificate, uri = own
    client = Client(args.endpoint, timeout=TIMEOUT_S)
    client.application_uri = uri
    client.set_user(args.user)
    client.set_password(password)
    await client.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(key), mode=ua.MessageSecurityMode.SignAndEncrypt)
    return client


async def refusal(action):
    """Name of the error with which `action` is refused; None if it was carried out."""
    try:
        await action
    except ua.UaStatusCodeError as error:
        return type(error).__name__
    except (ua.UaError, OSError, asyncio.TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    return None


async def connect_refused(client):
    """Name of the error with which a connect is refused; None, and disconnected again, if it was not."""
    why = await refusal(client.connect())
    if why is None:
        await client.disconnect()
    return why


async def check_endpoints(checks, args):
    """Only secure endpoints are offered, and the ApplicationUri is stated."""
    found = await Client(args.endpoint, timeout=TIMEOUT_S).connect_and_get_server_endpoints()
    offered = {(e.SecurityPolicyUri.split("#")[-1], e.SecurityMode.name) for e in found}
    checks.check("offers Basic256Sha256 SignAndEncrypt", ("Basic256Sha256", "SignAndEncrypt") in offered, sorted(offered))
    checks.check("offers no endpoint without security", all(e.SecurityPolicyUri != POLICY_NONE for e in found))
    checks.check("states its ApplicationUri", all(e.Server.ApplicationUri for e in found), found[0].Server.ApplicationUri)


async def check_refusals(checks, args, own):
    """What must not get in."""
    plain = Client(args.endpoint, timeout=TIMEOUT_S)
    plain.set_user(args.user)
    plain.set_password(secret(args.password))
    why = await connect_refused(plain)
    checks.check("refuses a session without security", why is not None, why)
    why = await connect_refused(await secure_client(args, own, secret(args.password) + "x"))
    checks.check("refuses a wrong password", why is not None, why)


async def check_first_trust(checks, args, own):
    """A certificate that nobody has trusted is refused; moved from rejected to trusted, it is accepted."""
    why = await connect_refused(await secure_client(args, own, secret(args.password)))
    if not checks.check("refuses an unknown certificate", why is not None, why):
        return
    trusted = args.pki / "trusted"
    rejected = sorted((args.pki / "rejected").glob("*.der"), key=lambda p: p.stat().st_mtime)
    mine = [p for p in rejected if p.read_bytes() == pathlib.Path(own[1]).read_bytes()]
    if checks.check("keeps the refused certificate in rejected", len(mine) == 1, [p.name for p in rejected]):
        trusted.mkdir(exist_ok=True)
        shutil.move(mine[0], trusted / mine[0].name)


async def browse(node, path, found):
    """All variables and methods below `node`, by path. A variable may have variables below it."""
    for child in await node.get_children(ua.ObjectIds.HierarchicalReferences):
        name = await child.read_browse_name()
        below = f"{path}/{name.Name}" if path else name.Name
        kind = await child.read_node_class()
        if below not in found:
            found[below] = (child, kind, name.NamespaceIndex)
            if kind != ua.NodeClass.Method:
                await browse(child, below, found)
    return found


def value_faults(path, value, now):
    """What is wrong with a DataValue, in words."""
    status, number = value.StatusCode, value.Value.Value if value.Value else None
    if status.is_bad() and number is not None:
        yield f"{path}: Bad but has the value {number}"
    if status.is_good() and number is None:
        yield f"{path}: Good but has no value"
    if isinstance(number, float) and not math.isfinite(number):
        yield f"{path}: {number} is not finite"
    time = value.SourceTimestamp
    if time is None or time.year <= NULL_TIME_YEAR:
        yield f"{path}: no source time"
    elif time.replace(tzinfo=timezone.utc) > now + CLOCK_TOLERANCE:
        yield f"{path}: source time {time} is in the future"


async def check_values(checks, found):
    """Status, value and source time of every variable."""
    variables = {path: node for path, (node, kind, _) in found.items() if kind == ua.NodeClass.Variable}
    own = {p: n for p, n in variables.items() if p.split("/")[-1] not in PROPERTIES}
    faults, counts = [], {"Good": 0, "Uncertain": 0, "Bad": 0}
    for path, node in own.items():
        value = await node.read_data_value(raise_on_bad_status=False)
        severity = "Good" if value.StatusCode.is_good() else "Bad" if value.StatusCode.is_bad() else "Uncertain"
        counts[severity] += 1
        faults += value_faults(path, value, datetime.now(timezone.utc))
    checks.check(f"{len(own)} values have a consistent status, value and source time", own and not faults, faults[:10] or counts)
    return variables


PROPERTIES = ("EURange", "EngineeringUnits", "EnumStrings", "InstrumentRange", "InputArguments", "OutputArguments", "Definition", "TrueState", "FalseState")


async def check_units(checks, found, variables):
    """EURange and EngineeringUnits of every analog value."""
    analog = [path.removesuffix("/EURange") for path in variables if path.endswith("/EURange")]
    faults = []
    for path in analog:
        range_node, _, namespace = found[f"{path}/EURange"]
        limits = await range_node.read_value()
        if not limits.Low < limits.High:
            faults.append(f"{path}: EURange {limits.Low} .. {limits.High}")
        if namespace != 0:
            faults.append(f"{path}: EURange has a BrowseName in namespace {namespace}, not 0")
        if f"{path}/EngineeringUnits" not in variables:
            faults.append(f"{path}: no EngineeringUnits")
            continue
        unit = await variables[f"{path}/EngineeringUnits"].read_value()
        if unit.NamespaceUri != UNECE or not unit.DisplayName.Text:
            faults.append(f"{path}: unit {unit.DisplayName.Text!r} of {unit.NamespaceUri!r}")
    inputs = [p for p in analog if p.startswith("Inputs/")]
    checks.check(f"{len(analog)} analog values have a range and a UNECE unit", analog and not faults, faults[:10])
    checks.check("inputs are analog values", inputs, f"{len(inputs)} of them")


class Changes:
    """Collects notifications of a subscription by path."""

    def __init__(self, paths):
        self.paths = paths
        self.seen = {}

    def datachange_notification(self, node, value, _data):
        """Called by asyncua for each notification."""
        self.seen.setdefault(self.paths[node.nodeid], []).append(value)


async def check_subscription(checks, args, client, variables):
    """Outputs change by themselves and are notified."""
    watched = {p: n for p, n in variables.items() if p in args.changing.split(",") or (p.startswith("Inputs/") and p.count("/") == 1)}
    changes = Changes({n.nodeid: p for p, n in watched.items()})
    subscription = await client.create_subscription(200, changes)
    await subscription.subscribe_data_change(list(watched.values()))
    deadline = asyncio.get_running_loop().time() + args.patience
    rising = args.changing.split(",")
    while asyncio.get_running_loop().time() < deadline and any(len(changes.seen.get(p, [])) < 4 for p in rising):
        await asyncio.sleep(0.1)
    for path in rising:
        values = changes.seen.get(path, [])
        checks.check(f"{path} rises by subscription", len(values) >= 4 and sorted(set(values)) == values, values[:6])
    silent = sorted(p for p in watched if not changes.seen.get(p))
    checks.check("every subscribed value was notified", not silent, silent or f"{len(watched)} values")
    await subscription.delete()


async def check_writes_refused(checks, variables):
    """No variable can be written: commands go through methods."""
    writable = []
    for path, node in variables.items():
        value = await node.read_data_value(raise_on_bad_status=False)
        variant = value.Value if value.Value and value.Value.Value is not None else ua.Variant(1.0, ua.VariantType.Double)
        if await refusal(node.write_value(ua.DataValue(variant))) is None:
            writable.append(path)
    checks.check(f"refuses a write to each of {len(variables)} variables", variables and not writable, writable[:10])


async def check_set_mode(checks, args, root, found):
    """SetMode answers in words; wrong arguments are refused."""
    method = found.get("SetMode")
    if not checks.check("has the method SetMode", method is not None and method[1] == ua.NodeClass.Method):
        return
    node = method[0]
    mode = ua.Variant(args.mode, ua.VariantType.Int32)
    comment = ua.Variant("interop test", ua.VariantType.String)
    try:
        sentence = await root.call_method(node, mode, comment)
    except ua.UaStatusCodeError as error:
        checks.check(f"SetMode({args.mode}) is carried out", False, type(error).__name__)
    else:
        checks.check(f"SetMode({args.mode}) answers in words", isinstance(sentence, str) and sentence[:1].isupper() and sentence.endswith("."), sentence)
    why = await refusal(root.call_method(node, ua.Variant(99, ua.VariantType.Int32), comment))
    checks.check("refuses SetMode(99)", why is not None, why)
    why = await refusal(root.call_method(node, ua.Variant("ADVISORY", ua.VariantType.String), comment))
    checks.check("refuses SetMode with text for the mode", why is not None, why)
    why = await refusal(root.call_method(node))
    checks.check("refuses SetMode without arguments", why is not None, why)


async def judge(checks, args, own):
    """All checks in order."""
    if not checks.check("somebody listens", await wait_for_listener(args.endpoint, args.connect_patience), args.endpoint):
        return
    await check_endpoints(checks, args)
    if args.pki:
        await check_first_trust(checks, args, own)
    await check_refusals(checks, args, own)
    async with await secure_client(args, own, secret(args.password)) as client:
        checks.check("connects with SignAndEncrypt, user and password", True)
        objects = {(await n.read_browse_name()).Name: n for n in await client.nodes.objects.get_children()}
        if not checks.check(f"has the folder {args.root}", args.root in objects, sorted(objects)):
            return
        root = objects[args.root]
        found = await browse(root, "", {})
        missing = [f for f in args.folders.split(",") if f not in found]
        checks.check("has the folders of the node reference", not missing, missing or args.folders)
        unnamed = [p for p, (n, k, _) in found.items()
                   if k != ua.NodeClass.Method and p.split("/")[-1] not in PROPERTIES and n.nodeid.Identifier != f"{args.root}/{p}"]
        checks.check("NodeIds are strings made of the path", not unnamed, unnamed[:10])
        variables = await check_values(checks, found)
        await check_units(checks, found, variables)
        await check_subscription(checks, args, client, variables)
        await check_writes_refused(checks, variables)
        await check_set_mode(checks, args, root, found)


async def main():
    """Runs the checks; an unexpected error is a failed check, not a lost summary."""
    args, checks = arguments(), Checks()
    with tempfile.TemporaryDirectory() as folder:
        own = await make_certificate(pathlib.Path(folder))
        try:
            await judge(checks, args, own)
        except Exception as error:  # The summary must be printed whatever happens.
            checks.check("ran to its end", False, f"{type(error).__name__}: {error}")
    return checks.summary()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
