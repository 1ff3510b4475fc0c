"""Small services: the Price List, EventBridge Scheduler, single operations of Logs and ECR."""
