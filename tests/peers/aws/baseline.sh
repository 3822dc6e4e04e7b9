#!/usr/bin/env bash
# The usual blue-green script of awscli and its waiters, which Pointsman is measured against.
# Environment: AWS_ENDPOINT_URL; AWS, the awscli to use.   Arguments: what account.py prints, VPC SUBNET SECURITY_GROUP LISTENER.
set -euo pipefail
export AWS_ACCESS_KEY_ID=t AWS_SECRET_ACCESS_KEY=t AWS_DEFAULT_REGION=eu-west-1 AWS_PAGER=
aws=${AWS:-aws} vpc=$1 subnet=$2 sg=$3 listener=$4 name=green$$
began=${EPOCHREALTIME/./} last=${EPOCHREALTIME/./}

seconds() { printf '%d.%02d' $(($1 / 1000000)) $(($1 % 1000000 / 10000)); }
lap() {
  local now=${EPOCHREALTIME/./}
  printf '%-28s %6s s\n' "$1" "$(seconds $((now - last)))"
  last=$now
}
# weights OLD NEW: shares of the two target groups in the listener's default action
weights() {
  $aws elbv2 modify-listener --listener-arn "$listener" --default-actions "[{\"Type\":\"forward\",\"ForwardConfig\":{\"TargetGroups\":[
    {\"TargetGroupArn\":\"$old\",\"Weight\":$1},{\"TargetGroupArn\":\"$new\",\"Weight\":$2}]}}]" >/dev/null
}

old=$($aws elbv2 describe-listeners --listener-arns "$listener" --output text \
  --query 'Listeners[0].DefaultActions[0].ForwardConfig.TargetGroups[0].TargetGroupArn')
lap describe-listeners
old_service=$($aws ecs list-services --cluster prod --query 'serviceArns[0]' --output text)
lap list-services
definition=$($aws ecs register-task-definition --family web --network-mode awsvpc --requires-compatibilities FARGATE \
  --cpu 256 --memory 512 --query taskDefinition.taskDefinitionArn --output text --container-definitions '[{"name":"web",
    "image":"web:2","memory":256,"portMappings":[{"containerPort":8080}],"environment":[{"name":"VERSION","value":"green"}]}]')
lap register-task-definition
new=$($aws elbv2 create-target-group --name "$name" --protocol HTTP --port 8080 --vpc-id "$vpc" --target-type ip \
  --health-check-path /health --health-check-interval-seconds 5 --healthy-threshold-count 2 \
  --query 'TargetGroups[0].TargetGroupArn' --output text)
$aws elbv2 modify-target-group-attributes --target-group-arn "$new" \
  --attributes Key=deregistration_delay.timeout_seconds,Value=5 >/dev/null
lap create-target-group
weights 100 0
lap attach-at-weight-0
$aws ecs create-service --cluster prod --service-name "$name" --task-definition "$definition" --desired-count 2 \
  --launch-type FARGATE --network-configuration "awsvpcConfiguration={subnets=[$subnet],securityGroups=[$sg]}" \
  --load-balancers "targetGroupArn=$new,containerName=web,containerPort=8080" >/dev/null
lap create-service
$aws ecs wait services-stable --cluster prod --services "$name"
lap wait-services-stable
$aws elbv2 wait target-in-service --target-group-arn "$new"
lap wait-target-in-service
weights 0 100
lap modify-listener
echo "to the switch $(seconds $((last - began))) s"
$aws elbv2 modify-listener --listener-arn "$listener" --default-actions "Type=forward,TargetGroupArn=$new" >/dev/null
$aws ecs delete-service --cluster prod --service "$old_service" --force >/dev/null
lap delete-old-service
$aws ecs wait services-inactive --cluster prod --services "$old_service"
lap wait-services-inactive
$aws elbv2 delete-target-group --target-group-arn "$old"
lap delete-old-target-group
$aws ecs deregister-task-definition --task-definition web:1 >/dev/null
lap deregister-old-definition
echo "total $(seconds $((last - began))) s"
