# Stands for whatever gives the shop its address; needs no provider and no account.
terraform {
  required_version = ">= 1.4"
}

locals {
  host = "shop.example.com"
}

resource "terraform_data" "site" {
  input = local.host
}

output "host" {
  description = "Where the shop is."
  value       = local.host
}
