# A stack stays where its data is; tests/contract/test_terraform.py lifts the protection of data for it.
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a"] }
  }
}

run "a_stack_is_launched_in_the_first_zone" {
  command = apply
}

run "it_stays_there_when_another_zone_is_the_first" {
  command = plan
  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["eu-central-1b", "eu-central-1a"] }
  }
  assert {
    condition     = local.zone == "eu-central-1b"
    error_message = "Another zone must be the first."
  }
  assert {
    condition     = aws_subnet.machines.availability_zone == "eu-central-1a" && alltrue([for volume in aws_ebs_volume.data : volume.availability_zone == "eu-central-1a"])
    error_message = "Data and machines must stay in their zone."
  }
}
