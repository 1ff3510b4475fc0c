"""Puts the parts of the sandbox together: account, machines, commands, objects, one application, one port."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import threading
import time
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import WSGIEnvironment

from moto.ec2 import urls as ec2_urls
from moto.ec2.models import ec2_backends
from moto.iam import urls as iam_urls
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.secretsmanager import urls as secretsmanager_urls
from moto.server import MotoRequestHandler
from moto.ssm import urls as ssm_urls
from werkzeug.serving import BaseWSGIServer, make_server

from runctl_jupyter.sandbox.connection import Connection
from runctl_jupyter.sandbox.control.access.used_permissions import UsedPermissions
from runctl_jupyter.sandbox.control.application import Application
from runctl_jupyter.sandbox.control.control_api import ControlApi
from runctl_jupyter.sandbox.control.ec2.backend import SandboxEC2Backend
from runctl_jupyter.sandbox.control.ec2.capacity import Capacity
from runctl_jupyter.sandbox.control.ec2.fleet import Fleet
from runctl_jupyter.sandbox.control.ec2.images import publish_parameters
from runctl_jupyter.sandbox.control.ec2.launch_journal import LaunchJournal
from runctl_jupyter.sandbox.control.ec2.quotas import Quotas
from runctl_jupyter.sandbox.control.ec2.response import SandboxEC2Response
from runctl_jupyter.sandbox.control.ec2.spot_keeper import SpotKeeper
from runctl_jupyter.sandbox.control.faults.effects import ConnectionPulledError
from runctl_jupyter.sandbox.control.faults.faults import Faults
from runctl_jupyter.sandbox.control.iam.account import Account, AccountInventory
from runctl_jupyter.sandbox.control.iam.propagation import Propagation
from runctl_jupyter.sandbox.control.iam.response import SandboxIamResponse
from runctl_jupyter.sandbox.control.other_services import price_list, small_services
from runctl_jupyter.sandbox.control.other_services.scheduler import Scheduler
from runctl_jupyter.sandbox.control.s3.backend import SandboxS3Backend
from runctl_jupyter.sandbox.control.s3.objects import ObjectJournal
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, BUCKET, REGION, Settings
from runctl_jupyter.sandbox.control.ssm.agents import Right, SsmAgents
from runctl_jupyter.sandbox.control.ssm.commands import Commands
from runctl_jupyter.sandbox.control.ssm.response import SandboxSSMResponse
from runctl_jupyter.sandbox.control.ssm.secret_journal import SandboxSecretsManagerResponse, SecretJournal
from runctl_jupyter.sandbox.control.store import StateStore
from runctl_jupyter.sandbox.hosts.base import HostFactory

_HOST = "127.0.0.1"


class _Handler(MotoRequestHandler):  # type: ignore[misc]
    """moto's handler, with connections that stay open: a client makes hundreds of small requests."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Write no access log: a follower polls ten times a second."""

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        """End the connection for good: without this the next request on it would be waited for."""
        self.close_connection = True
        if isinstance(error, ConnectionPulledError):
            # Closed now and with nothing lingering, it ends with a reset and not with an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())


class Sandbox:
    """A sandbox that answers."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        server: BaseWSGIServer,
        application: Application,
        fleet: Fleet,
        faults: Faults,
        scheduler: Scheduler,
    ) -> None:
        self.connection = connection
        self._scheduler = scheduler
        self._settings, self._server, self._application, self._fleet = settings, server, application, fleet
        self._faults = faults
        self._thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def idle_s(self) -> float:
        """Return seconds since the last request; 0 while an instance lives."""
        return 0.0 if self._fleet.machines.live() else time.monotonic() - self._application.last_request_at

    def close(self) -> None:
        """Stop answering and let no machine change any more."""
        self._faults.clear()
        self._scheduler.close()
        self._server.shutdown()
        self._server.server_close()
        self._fleet.machines.close()


def assemble(settings: Settings, factory: HostFactory, store: StateStore) -> Sandbox:
    """Build the sandbox of ``settings.home``, with what it held before."""
    listener = _listen(store)
    port = listener.getsockname()[1]
    url = f"http://{_HOST}:{port}"

    ec2_backends.backend = SandboxEC2Backend
    s3_backends.backend = SandboxS3Backend
    iam_urls.url_paths["{0}/$"] = SandboxIamResponse.dispatch
    ec2_urls.url_paths["{0}/"] = SandboxEC2Response.dispatch
    ssm_urls.url_paths["{0}/$"] = SandboxSSMResponse.dispatch
    secretsmanager_urls.url_paths["{0}/$"] = SandboxSecretsManagerResponse.dispatch
    _make_network()
    account = Account(store)
    publish_parameters()
    objects = ObjectJournal(store)
    kept_secrets = SecretJournal(store)
    kept_secrets.restore()
    SandboxSSMResponse.journal = SandboxSecretsManagerResponse.journal = kept_secrets
    faults = Faults()
    fleet = Fleet(settings, factory, store, account, url, faults.unplugged)
    inventory = AccountInventory(account)
    SandboxEC2Backend.fleet, SandboxEC2Backend.capacity = fleet, Capacity(faults)
    SandboxEC2Backend.quotas = quotas = Quotas(faults, fleet.machines.counted)
    SandboxEC2Backend.propagation = SandboxIamResponse.propagation = Propagation(settings.propagation_s)
    SandboxEC2Response.inventory = inventory
    SandboxSSMResponse.machines = fleet.machines
    agents = SsmAgents(settings, fleet.machines, lambda i: _right_of_agent(settings, account, fleet, i))
    fleet.machines.on_up, fleet.machines.on_agent_restart = agents.started, agents.restarted
    SandboxSSMResponse.commands = Commands(settings, fleet.machines, agents.online, faults.await_agent)
    fleet.lost_at_restart += objects.restore()
    ec2 = ec2_backends[ACCOUNT_ID][REGION]
    ec2.journal = LaunchJournal(store, ec2)
    ec2.journal.restore()
    spot_keeper = SpotKeeper()
    fleet.reopened = spot_keeper.relaunch
    fleet.restore(ec2)
    spot_keeper.resume()

    token = secrets.token_urlsafe(24)
    scheduler = Scheduler(
        lambda role_arn: account.trusts(role_arn, "scheduler.amazonaws.com"),
        lambda *what: _call_as_role(account, url, *what),
    )
    services = DomainDispatcherApplication(create_backend_app)
    used = UsedPermissions()
    control = ControlApi(fleet, faults, account, spot_keeper, used, token)
    application = Application(
        services,
        control,
        account,
        inventory,
        objects,
        faults,
        fleet.caller_of,
        own={
            "pricing": price_list.answer,
            "servicequotas": quotas.answer,
            "scheduler": scheduler.answer,
            "logs:PutLogEvents": small_services.check_log_events,
            "ecr:GetAuthorizationToken": small_services.authorization_token,
        },
        used=used,
    )
    server = make_server(_HOST, port, application, threaded=True, request_handler=_Handler, fd=listener.detach())
    connection = Connection(
        pid=os.getpid(),
        endpoint_url=url,
        s3_endpoint_url=url,
        mode=factory.mode,
        cannot=factory.cannot,
        region=REGION,
        bucket=BUCKET,
        started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        home=str(settings.home),
        log=str(settings.home / "sandbox.log"),
        control_token=token,
        env={
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": account.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "RUNCTL_BUCKET": BUCKET,
        },
    )
    return Sandbox(settings, connection, server, application, fleet, faults, scheduler)


def _right_of_agent(settings: Settings, account: Account, fleet: Fleet, instance_id: str) -> Right:
    profile = fleet.profile_of(instance_id)
    may = account.may_register(profile, instance_id, settings.role_propagation_s) if profile else None
    return Right.NO_PROFILE if may is None else Right.GRANTED if may else Right.DENIED


def _call_as_role(account: Account, url: str, service: str, operation: str, parameters: Any, role_arn: str) -> None:
    """Call a service of the sandbox over its own port, with the rights of a role and no more."""
    import boto3
    from botocore import xform_name

    make: Any = boto3.client  # stubs know services by literal names only
    client = make(service, endpoint_url=url, region_name=REGION, **account.session_of(role_arn, "scheduler"))
    getattr(client, xform_name(operation))(**parameters)


def _make_network() -> None:
    """Let moto make the default VPC with the same ids at every start: instances that come back name its subnets."""
    mock_random.seed(ACCOUNT_ID)
    ec2 = ec2_backends[ACCOUNT_ID][REGION]
    # AWS's default VPC has a way out (VPC User Guide, "Default VPCs"); moto's has none.
    gateway = ec2.create_internet_gateway()
    vpc = next(each for each in ec2.describe_vpcs() if each.is_default)
    ec2.attach_internet_gateway(gateway.id, vpc.id)
    main = next(table for table in ec2.describe_route_tables() if table.vpc_id == vpc.id)
    ec2.create_route(main.id, "0.0.0.0/0", gateway_id=gateway.id)
    mock_random.seed()


def _listen(store: StateStore) -> socket.socket:
    """Listen on the port of the time before, if it is free: what still runs out there knows no other."""
    before = store.fact("port")
    for port in (before, 0) if before else (0,):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, port))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        store.set_fact("port", listener.getsockname()[1])
        return listener
    raise OSError("no port is free on the loopback address")
