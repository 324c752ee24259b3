# What the job writes on its way: stages, checkpoints, results of Spark's events.
resource "azurerm_storage_account" "work" {
  #checkov:skip=CKV_AZURE_33:It has no queues.
  name                              = "${substr(replace(local.name, "-", ""), 0, 14)}${local.digits}"
  resource_group_name               = azurerm_resource_group.this.name
  location                          = var.region
  account_tier                      = "Standard"
  account_kind                      = "StorageV2"
  account_replication_type          = "GZRS"
  min_tls_version                   = "TLS1_2"
  https_traffic_only_enabled        = true
  infrastructure_encryption_enabled = true
  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  public_network_access_enabled     = false
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  tags                              = local.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.encryption.id]
  }

  customer_managed_key {
    key_vault_key_id          = azurerm_key_vault_key.this.versionless_id
    user_assigned_identity_id = azurerm_user_assigned_identity.encryption.id
  }

  network_rules {
    default_action = "Deny"
    bypass         = ["AzureServices"]
  }

  blob_properties {
    versioning_enabled = true

    delete_retention_policy {
      days = 30
    }
    container_delete_retention_policy {
      days = 30
    }
  }

  depends_on = [azurerm_role_assignment.encryption]
}

resource "azurerm_storage_container" "work" {
  #checkov:skip=CKV2_AZURE_21:The diagnostic setting `blob` logs reads, writes and deletes.
  name                  = "work"
  storage_account_id    = azurerm_storage_account.work.id
  container_access_type = "private"
}

resource "azurerm_storage_management_policy" "work" {
  storage_account_id = azurerm_storage_account.work.id

  rule {
    name    = "retention"
    enabled = true

    filters {
      blob_types = ["blockBlob"]
    }
    actions {
      version {
        delete_after_days_since_creation = var.log_retention_days
      }
    }
  }
}

resource "azurerm_private_endpoint" "blob" {
  name                = "${local.name}-blob"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  subnet_id           = local.subnet_id
  tags                = local.tags

  private_service_connection {
    name                           = "blob"
    private_connection_resource_id = azurerm_storage_account.work.id
    subresource_names              = ["blob"]
    is_manual_connection           = false
  }

  dynamic "private_dns_zone_group" {
    for_each = contains(keys(var.private_dns_zone_ids), "blob") ? [var.private_dns_zone_ids["blob"]] : []
    content {
      name                 = "blob"
      private_dns_zone_ids = [private_dns_zone_group.value]
    }
  }
}
