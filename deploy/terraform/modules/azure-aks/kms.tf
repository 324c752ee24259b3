resource "azurerm_key_vault" "this" {
  name                          = "${trim(substr(local.name, 0, 13), "-")}-${local.digits}"
  resource_group_name           = azurerm_resource_group.this.name
  location                      = var.region
  tenant_id                     = data.azurerm_client_config.current.tenant_id
  sku_name                      = "premium"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = false
  tags                          = local.tags

  # Disks and storage read the key from within Azure; everybody else comes by the endpoint below.
  network_acls {
    default_action = "Deny"
    bypass         = "AzureServices"
  }
}

resource "azurerm_private_endpoint" "vault" {
  name                = "${local.name}-vault"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  subnet_id           = local.subnet_id
  tags                = local.tags

  private_service_connection {
    name                           = "vault"
    private_connection_resource_id = azurerm_key_vault.this.id
    subresource_names              = ["vault"]
    is_manual_connection           = false
  }

  dynamic "private_dns_zone_group" {
    for_each = contains(keys(var.private_dns_zone_ids), "vault") ? [var.private_dns_zone_ids["vault"]] : []
    content {
      name                 = "vault"
      private_dns_zone_ids = [private_dns_zone_group.value]
    }
  }
}

resource "azurerm_key_vault_key" "this" {
  #checkov:skip=CKV_AZURE_40:It is renewed every 90 days; an expired one would stop disks and storage.
  name         = "cluster"
  key_vault_id = azurerm_key_vault.this.id
  key_type     = "RSA-HSM"
  key_size     = 3072
  key_opts     = ["unwrapKey", "wrapKey"]
  tags         = local.key_tags

  rotation_policy {
    automatic {
      time_after_creation = "P90D"
    }
  }

  depends_on = [azurerm_private_endpoint.vault, azurerm_role_assignment.operator_keys]
}

resource "azurerm_disk_encryption_set" "this" {
  name                      = local.name
  resource_group_name       = azurerm_resource_group.this.name
  location                  = var.region
  key_vault_key_id          = azurerm_key_vault_key.this.versionless_id
  auto_key_rotation_enabled = true
  encryption_type           = "EncryptionAtRestWithPlatformAndCustomerKeys"
  tags                      = local.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.encryption.id]
  }

  depends_on = [azurerm_role_assignment.encryption]
}
