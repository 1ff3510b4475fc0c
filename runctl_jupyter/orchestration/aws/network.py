"""The network that a machine would be launched into, and whether it leads out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import aws_errors

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RouteTableTypeDef, SubnetTypeDef

    from runctl_jupyter.orchestration.aws.session import AwsSession

_INTERNET_GATEWAY = "internet gateway"

AGENT_ENDPOINTS = ("ssm", "ssmmessages", "s3")
"""What a machine without a way out needs instead (Systems Manager User Guide, "VPC endpoints"), and our bucket."""
OLD_AGENT_ENDPOINTS = ("ec2messages",)
"""What agents before 3.3.40.0 need as well; regions opened since 2024 do not have it (same guide, "Reference:
ec2messages, ssmmessages, and other API operations")."""


@dataclass(frozen=True)
class WayOut:
    """How a machine in a subnet reaches AWS."""

    subnets: Sequence[str]
    gateway: str | None
    """``internet gateway``, ``NAT gateway`` or the like; None when nothing leads out."""
    missing_endpoints: Sequence[str] = ()
    """VPC endpoints that would do instead and are not there."""
    missing_for_old_agents: Sequence[str] = ()
    """VPC endpoints that only older agents ask for."""


class Network:
    """VPCs of the session's region."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    def default_subnets(self) -> list[str]:
        """Return the subnets that a launch without one goes to; none when there is no default VPC."""
        with aws_errors("look for the default VPC"):
            found = self._session.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
        return [subnet["SubnetId"] for subnet in found["Subnets"]]

    def public(self, described: Sequence[SubnetTypeDef]) -> set[str]:
        """Return which of these subnets lead to an internet gateway: a machine there needs a public address."""
        with aws_errors("look how machines reach AWS"):
            tables = self._tables(described)
        return {subnet["SubnetId"] for subnet in described if _gateway(_table_of(subnet, tables)) == _INTERNET_GATEWAY}

    def way_out(self, subnets: Sequence[str]) -> WayOut:
        """Return how machines in `subnets` reach AWS.

        Behind an internet gateway they do with a public address only: where a subnet gives none, a launch asks for one.
        """
        ec2 = self._session.ec2
        with aws_errors("look how machines reach AWS"):
            described = ec2.describe_subnets(SubnetIds=list(subnets))["Subnets"]
            in_vpc = _in_vpcs(described)
            tables = self._tables(described)
            gateways = [_gateway(_table_of(subnet, tables)) for subnet in described]
            if gateways and all(gateways):
                return WayOut(subnets, gateways[0])
            endpoints = ec2.describe_vpc_endpoints(Filters=in_vpc)["VpcEndpoints"]
        there = {e["ServiceName"].rpartition(".")[2] for e in endpoints if e.get("State", "").lower() == "available"}
        missing = [[name for name in names if name not in there] for names in (AGENT_ENDPOINTS, OLD_AGENT_ENDPOINTS)]
        return WayOut(subnets, None, *missing)

    def _tables(self, described: Sequence[SubnetTypeDef]) -> Sequence[RouteTableTypeDef]:
        pages = self._session.ec2.get_paginator("describe_route_tables").paginate(Filters=_in_vpcs(described))
        return [table for page in pages for table in page["RouteTables"]]


def _in_vpcs(described: Sequence[SubnetTypeDef]) -> Any:
    return [{"Name": "vpc-id", "Values": sorted({subnet["VpcId"] for subnet in described})}]


def _table_of(subnet: SubnetTypeDef, tables: Sequence[RouteTableTypeDef]) -> Any:
    """Return the route table of a subnet: its own, or the VPC's main one (VPC User Guide, "Subnet route tables")."""
    of_vpc = [table for table in tables if table["VpcId"] == subnet["VpcId"]]
    associations = [(a, table) for table in of_vpc for a in table.get("Associations", [])]
    own = next((table for a, table in associations if a.get("SubnetId") == subnet["SubnetId"]), None)
    return own or next((table for a, table in associations if a.get("Main")), None)


def _gateway(table: Any) -> str | None:
    """Return what the way to everywhere goes through."""
    for route in table["Routes"] if table else ():
        if route.get("DestinationCidrBlock") != "0.0.0.0/0" or route.get("State") == "blackhole":
            continue
        if str(route.get("GatewayId", "")).startswith("igw-"):
            return _INTERNET_GATEWAY
        if route.get("NatGatewayId"):
            return "NAT gateway"
        other = ("TransitGatewayId", "NetworkInterfaceId", "InstanceId", "VpcPeeringConnectionId")
        if any(route.get(key) for key in other):
            return "gateway of its own"
    return None
