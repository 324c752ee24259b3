module pursight/tests/provider

go 1.25

require github.com/hashicorp/terraform-plugin-go v0.31.0
