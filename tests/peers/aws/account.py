#!/usr/bin/env python3
"""Makes what an account has before the first deployment: a VPC, a balancer with a listener, a cluster, a live ECS service.

usage: account.py ENDPOINT [LISTENER_PORT]      prints: VPC SUBNET SECURITY_GROUP LISTENER TARGET_GROUP BALANCER_ADDRESS
"""

import sys

import boto3


def clients(endpoint):
    own = {"endpoint_url": endpoint, "region_name": "eu-west-1", "aws_access_key_id": "t", "aws_secret_access_key": "t"}
    return [boto3.client(service, **own) for service in ("ec2", "elbv2", "ecs")]


def network(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = []
    for i, zone in enumerate("ab"):
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{i}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        subnets.append(made["Subnet"]["SubnetId"])
    sg = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    return vpc, subnets, sg


def balancer(elb, vpc, subnets, sg, port):
    lb = elb.create_load_balancer(Name="front", Subnets=subnets, SecurityGroups=[sg])["LoadBalancers"][0]
    group = elb.create_target_group(
        Name="blue0",
        Protocol="HTTP",
        Port=8080,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckPath="/health",
        HealthCheckIntervalSeconds=5,
        HealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "5"}
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
    action = {"Type": "forward", "TargetGroupArn": group}
    arn = lb["LoadBalancerArn"]
    made = elb.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=port, DefaultActions=[action])
    return made["Listeners"][0]["ListenerArn"], group


def live_service(ecs, subnets, sg, group):
    ecs.create_cluster(clusterName="prod")
    container = {
        "name": "web",
        "image": "web:1",
        "memory": 256,
        "portMappings": [{"containerPort": 8080}],
        "environment": [{"name": "VERSION", "value": "blue"}],
    }
    definition = ecs.register_task_definition(
        family="web",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.create_service(
        cluster="prod",
        serviceName="blue0",
        taskDefinition=definition,
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [sg]}},
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
    )


def main():
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    ec2, elb, ecs = clients(sys.argv[1])
    vpc, subnets, sg = network(ec2)
    listener, group = balancer(elb, vpc, subnets, sg, port)
    live_service(ecs, subnets, sg, group)
    address = elb.describe_load_balancers(Names=["front"])["LoadBalancers"][0]["DNSName"]
    print(vpc, subnets[0], sg, listener, group, address)


main()
