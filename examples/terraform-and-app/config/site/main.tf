terraform {
  required_version = ">= 1.6"
}

variable "team" {
  description = "Who the site belongs to."
  type        = string
}

variable "visitors" {
  description = "How many are expected at the same time."
  type        = number
}

# Stands for whatever makes a name in your world; needs no provider and no account.
resource "terraform_data" "host" {
  input = "${var.team}.example.com"
}

output "host" {
  description = "Where the site is; known once this is applied."
  value       = terraform_data.host.output
}

output "replicas" {
  description = "One for every hundred visitors, and two at least."
  value       = max(2, ceil(var.visitors / 100))
}
