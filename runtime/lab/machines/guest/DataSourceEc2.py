"""cloud-init's own Ec2 data source, told that the platform is AWS.

It recognises AWS by DMI, which cloud-init does not read in containers, and asks for the tokens of
metadata version 2 only where it did. `datasource_pkg_list` is cloud-init's way to be told.
"""

from cloudinit import sources
from cloudinit.sources import DataSourceEc2 as stock


class DataSourceEc2(stock.DataSourceEc2):
    """Everything as in the stock class but the recognition."""

    def _get_cloud_name(self):
        return stock.CloudNames.AWS


def get_datasource_list(depends):
    """Offer it once there is a network: there is no DHCP to be asked before."""
    needs = (sources.DEP_FILESYSTEM, sources.DEP_NETWORK)
    return sources.list_from_depends(depends, [(DataSourceEc2, needs)])
