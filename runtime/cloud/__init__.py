"""The only place that talks to AWS, real or lab, by boto3."""
