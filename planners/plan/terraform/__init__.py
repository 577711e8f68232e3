"""Plans of Terraform and OpenTofu roots: read from the tool's own account, shown, carried out.

The composition root takes :class:`planners.plan.terraform.planner.TerraformPlanner`; everything
else here is pure. Nothing in this package runs a program: that is the workspace's.
"""
