locals {
  own_network = length(var.subnet_ids) == 0
  subnet_id   = local.own_network ? one(azurerm_subnet.nodes[*].id) : var.subnet_ids[0]
}

# Subnets, routes, associations and peerings take no tags at Azure.

resource "azurerm_virtual_network" "this" {
  count = local.own_network ? 1 : 0

  name                = local.name
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  address_space       = [var.network_cidr]
  tags                = local.tags
}

resource "azurerm_subnet" "nodes" {
  count = local.own_network ? 1 : 0

  name                              = "nodes"
  resource_group_name               = azurerm_resource_group.this.name
  virtual_network_name              = azurerm_virtual_network.this[0].name
  address_prefixes                  = [var.network_cidr]
  default_outbound_access_enabled   = false
  private_endpoint_network_policies = "Enabled"
}

resource "azurerm_network_security_group" "nodes" {
  count = local.own_network ? 1 : 0

  name                = "${local.name}-nodes"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  tags                = local.tags

  security_rule {
    name                       = "nothing-from-the-internet"
    description                = "Nobody outside reaches a node"
    direction                  = "Inbound"
    access                     = "Deny"
    priority                   = 4000
    protocol                   = "*"
    source_address_prefix      = "Internet"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
}

resource "azurerm_subnet_network_security_group_association" "nodes" {
  count = local.own_network ? 1 : 0

  subnet_id                 = azurerm_subnet.nodes[0].id
  network_security_group_id = azurerm_network_security_group.nodes[0].id
}

resource "azurerm_route_table" "nodes" {
  count = local.own_network ? 1 : 0

  name                          = "${local.name}-nodes"
  resource_group_name           = azurerm_resource_group.this.name
  location                      = var.region
  bgp_route_propagation_enabled = false
  tags                          = local.tags

  route {
    name                   = "out"
    address_prefix         = "0.0.0.0/0"
    next_hop_type          = "VirtualAppliance"
    next_hop_in_ip_address = var.firewall_address
  }
}

resource "azurerm_subnet_route_table_association" "nodes" {
  count = local.own_network ? 1 : 0

  subnet_id      = azurerm_subnet.nodes[0].id
  route_table_id = azurerm_route_table.nodes[0].id
}

resource "azurerm_virtual_network_peering" "hub" {
  count = local.own_network && var.hub_network_id != "" ? 1 : 0

  name                      = "hub"
  resource_group_name       = azurerm_resource_group.this.name
  virtual_network_name      = azurerm_virtual_network.this[0].name
  remote_virtual_network_id = var.hub_network_id
  allow_forwarded_traffic   = true
}
